"""What a token is good for: ``admin``, ``deploy``, ``read`` and ``invoke:FUNCTION``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from wherry.errors import UsageError
from wherry.functions.names import check_namespace, split_name
from wherry.names import nearest

ADMIN = "admin"
"""Everything, namespaces included."""
DEPLOY = "deploy"
"""Deploy, change, scale and remove functions and secrets; so also see and invoke all of them."""
READ = "read"
"""See functions, calls, logs, metrics and the dashboard, and change nothing."""
INVOKE = "invoke:"
"""And a function: ``invoke:upper``, ``invoke:upper.namespace``, ``invoke:*.namespace``,
``invoke:*``."""
EVERY = f"{INVOKE}*"

_INCLUDED = {DEPLOY: frozenset({READ, EVERY}), ADMIN: frozenset({DEPLOY, READ, EVERY})}


def invoke(qualified: str) -> str:
    """Return the scope that a call of a function needs."""
    return f"{INVOKE}{qualified}"


def parse_scopes(words: Iterable[str]) -> tuple[str, ...]:
    """Return scopes as they are kept, functions with their namespace; raises UsageError."""
    found = tuple(dict.fromkeys(_parse(word) for word in words))
    if not found:
        raise UsageError(f"scope: none is given; {_choice()}")
    return found


def covers(granted: Collection[str], needed: str) -> bool:
    """Whether one of the scopes that were granted includes the one that is needed."""
    every = set(granted).union(*(_INCLUDED.get(scope, ()) for scope in granted))
    if needed in every:
        return True
    if not needed.startswith(INVOKE):
        return False
    namespace = needed.rpartition(".")[2]
    return EVERY in every or f"{INVOKE}*.{namespace}" in every


def invokes(granted: Iterable[str]) -> bool:
    """Whether any function may be invoked with these scopes."""
    return any(scope in (ADMIN, DEPLOY) or scope.startswith(INVOKE) for scope in granted)


def _parse(word: str) -> str:
    if word in (ADMIN, DEPLOY, READ, EVERY):
        return word
    if not word.startswith(INVOKE):
        near = nearest(word, (ADMIN, DEPLOY, READ))
        hint = near if "did you mean" in near else f"; {_choice()}"
        raise UsageError(f"scope: there is no {word!r}{hint}")
    function = word.removeprefix(INVOKE)
    if function.startswith("*."):
        return f"{INVOKE}*.{check_namespace(function[2:], field='scope')}"
    name, namespace = split_name(function)
    return invoke(f"{name}.{namespace}")


def _choice() -> str:
    return f"write {ADMIN}, {DEPLOY}, {READ}, invoke:FUNCTION or {EVERY}"
