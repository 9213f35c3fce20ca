"""From a request to its handler, and every verdict on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from wherry.engines.docker.failures import Refused
from wherry.proxy.audit import Entry
from wherry.proxy.front import ClientLeft, Refusal
from wherry.proxy.handlers.call import Call
from wherry.proxy.policy import answers, table
from wherry.proxy.policy.check import TAKES_BODY, no_body
from wherry.proxy.policy.model import Denied
from wherry.proxy.policy.operations import Operation
from wherry.proxy.policy.routing import route

if TYPE_CHECKING:
    from wherry.proxy.audit import Audit, Verdict
    from wherry.proxy.front import Exchange
    from wherry.proxy.handlers.scope import Scope

_CHANGE_NOTHING = frozenset(
    {Operation.BUILD_PRUNE, Operation.CONTAINER_RESIZE, Operation.CONTAINER_WAIT,
     Operation.EXEC_RESIZE}
)  # fmt: skip
"""With a method that could; floods of them are not all written to the audit log."""
Handle = Callable[[Call], Awaitable[None]]


class Dispatch:
    """Answers one tenant's requests."""

    def __init__(self, scope: Scope, *, audit: Audit, handlers: Mapping[Operation, Handle]) -> None:
        self._scope = scope
        self._audit = audit
        self._handlers = handlers

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one exchange; what the policy and the engine refuse is answered here."""
        call: list[Call] = []
        try:
            await self._answer(exchange, call)
        except Denied as error:
            self._note(exchange, call, "denied", status=error.status, rule=error.rule,
                       reason=error.message)  # fmt: skip
            await exchange.refuse(error.status, error.message)
        except Refused as error:
            words = answers.message(error.reason, self._scope.view())
            self._note(exchange, call, "failed", status=error.status, reason=words)
            await exchange.refuse(error.status, words)
        except Refusal as error:
            self._note(exchange, call, "denied", status=error.status, reason=error.message)
            raise
        except ClientLeft:
            self._note(exchange, call, "allowed")
            raise
        except BaseException as error:
            self._note(exchange, call, "failed", reason=type(error).__name__)
            raise
        else:
            self._note(exchange, call, "allowed")

    async def _answer(self, exchange: Exchange, told: list[Call]) -> None:
        request = exchange.request
        scope = self._scope
        asked = route(request.method, request.target, newest=scope.newest)
        if scope.tenant.is_ending:
            raise Denied(503, "this tenant is being taken down", rule="2.8 lifetime")
        call = Call(exchange=exchange, route=asked, scope=scope)
        told.append(call)
        table.check(asked.operation, scope.policy, method=asked.method, name=asked.name)
        if asked.operation not in TAKES_BODY:
            no_body(await request.body.read(), operation=asked.operation)
        await self._handlers[asked.operation](call)

    def _note(
        self, exchange: Exchange, told: list[Call], verdict: Verdict, *, status: int = 0,
        rule: str = "", reason: str = "",
    ) -> None:  # fmt: skip
        path = exchange.request.target.partition(b"?")[0].decode("ascii", "replace")
        self._audit.write(
            Entry(
                tenant=self._scope.name,
                verb=told[0].route.operation.value if told else f"{exchange.request.method} {path}",
                object=told[0].object if told else "",
                verdict=verdict,
                status=status,
                rule=rule,
                reason=reason,
                is_change=may_have_changed(
                    exchange.request.method,
                    told[0].route.operation if told else None,
                    verdict=verdict,
                    status=status,
                ),
            )
        )


def may_have_changed(
    method: str, operation: Operation | None, *, verdict: Verdict, status: int
) -> bool:
    """Whether a request may have changed anything; what the engine refuses (4xx) has not."""
    refused = verdict == "denied" or (verdict == "failed" and 400 <= status < 500)
    return not refused and method not in ("GET", "HEAD") and operation not in _CHANGE_NOTHING
