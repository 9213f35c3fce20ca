"""Functions of files that are read once: what a command has that is no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import NotFound, UsageError
from wherry.functions.declare import declared
from wherry.functions.files import read_declaration
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed
from wherry.names import nearest

if TYPE_CHECKING:
    from wherry.functions.secrets import SecretStore


class FixedFunctions:
    """Implements :class:`wherry.service.service.Functions`; nothing is ever deployed."""

    def __init__(self, functions: Iterable[Deployed] = ()) -> None:
        self._functions = {each.qualified: each for each in functions}

    @classmethod
    def read(cls, paths: Iterable[Path], *, secrets: SecretStore) -> FixedFunctions:
        """Read files as ``wherry serve`` does; raises :class:`UsageError` that names the place."""
        found = []
        for path in paths:
            declaration = read_declaration(path.absolute())
            for each in declaration.deployments:
                try:
                    found.append(
                        declared(each, secrets=secrets, created=0.0, source=str(declaration.path))
                    )
                except UsageError as error:
                    said = declaration.explain(each, error)
                    raise UsageError(f"{declaration.path}: {said}") from error
        return cls(found)

    def get(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> Deployed:
        """Return a function; raises :class:`NotFound`."""
        try:
            return self._functions[f"{name}.{namespace}"]
        except KeyError:
            near = nearest(name, [each.name for each in self._functions.values()])
            raise NotFound(f"there is no function {name!r} in {namespace!r}{near}") from None

    def list(self, namespace: str | None = None) -> list[Deployed]:
        """Return all functions."""
        every = self._functions.values()
        return [each for each in every if namespace in (None, each.namespace)]

    def watch(self, changed: Callable[[str, Deployed | None], None]) -> None:
        """Do nothing: there are no changes."""

    def count(self, qualified: str) -> None:
        """Do nothing: nobody asks."""
