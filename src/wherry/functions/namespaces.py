"""Namespaces: rooms for functions and secrets of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wherry.errors import AlreadyExists, NotFound, UsageError
from wherry.functions.durably import completed
from wherry.functions.model import DEFAULT_NAMESPACE
from wherry.functions.names import check_namespace
from wherry.names import nearest

if TYPE_CHECKING:
    from wherry.functions.database import Database


class Namespace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A namespace as OpenFaaS's clients send it.

    https://github.com/openfaas/faas-provider/blob/master/types/function_deployment.go
    """

    name: str
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Namespaces:
    """All namespaces; the default one is always there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = {DEFAULT_NAMESPACE: Namespace(name=DEFAULT_NAMESPACE)}
        for name, document in database.namespaces().items():
            self._known[name] = msgspec.json.decode(document, type=Namespace)

    def names(self) -> list[str]:
        """Return their names, sorted."""
        return sorted(self._known)

    def get(self, name: str) -> Namespace:
        """Return one. Raises :class:`NotFound`."""
        if name not in self._known:
            raise NotFound(f"there is no namespace {name!r}{nearest(name, self._known)}")
        return self._known[name]

    async def create(self, namespace: Namespace) -> None:
        """Make one. Raises :class:`AlreadyExists`, :class:`UsageError`."""
        check_namespace(namespace.name, field="name")
        if namespace.name in self._known:
            raise AlreadyExists(f"there is a namespace {namespace.name!r} already")
        await self._keep(namespace)

    async def update(self, namespace: Namespace) -> None:
        """Replace one's labels and annotations. Raises :class:`NotFound`."""
        self.get(namespace.name)
        await self._keep(namespace)

    async def remove(self, name: str, *, inside: tuple[int, int]) -> None:
        """Remove one; ``inside`` are the numbers of its functions and secrets.

        Raises :class:`NotFound`, :class:`UsageError` when it is not empty.
        """
        self.get(name)
        if name == DEFAULT_NAMESPACE:
            raise UsageError(f"name: {name!r} is the default namespace, which stays")
        if any(inside):
            raise UsageError(
                f"name: {name!r} still has {inside[0]} functions and {inside[1]} secrets; "
                "remove them first"
            )
        await completed(self._database.remove_namespace, name)
        del self._known[name]

    async def _keep(self, namespace: Namespace) -> None:
        document = msgspec.json.encode(namespace).decode()
        await completed(self._database.put_namespace, namespace.name, document)
        self._known[namespace.name] = namespace
