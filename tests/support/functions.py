"""Deployed functions without a store: what a service asks of one, in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wherry.errors import NotFound
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed, Deployment, Settings
from wherry.models import Function

Changed = Callable[[str, Deployed | None], None]


class Registry:
    """Implements :class:`wherry.service.service.Functions`."""

    def __init__(self, *functions: Deployed) -> None:
        self._functions = {each.qualified: each for each in functions}
        self._watching: list[Changed] = []

    def get(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> Deployed:
        try:
            return self._functions[f"{name}.{namespace}"]
        except KeyError:
            raise NotFound(f"there is no function {name!r}") from None

    def list(self, namespace: str | None = None) -> list[Deployed]:
        return list(self._functions.values())

    def watch(self, changed: Changed) -> None:
        self._watching.append(changed)

    def count(self, qualified: str) -> None:
        pass

    def deploy(self, deployed: Deployed) -> None:
        self._functions[deployed.qualified] = deployed
        for changed in self._watching:
            changed(deployed.qualified, deployed)

    def remove(self, deployed: Deployed) -> None:
        del self._functions[deployed.qualified]
        for changed in self._watching:
            changed(deployed.qualified, None)


def deployed(name: str, *command: str, image: str = "busybox", **fields: Any) -> Deployed:
    """Return a function; ``env`` is its own, all else are settings."""
    function = Function(
        name=f"{name}.{DEFAULT_NAMESPACE}",
        image=image,
        command=command,
        env=fields.pop("env", {}),
    )
    return Deployed(
        name=name,
        namespace=DEFAULT_NAMESPACE,
        deployment=Deployment(service=name, image=image),
        settings=Settings(**fields),
        function=function,
        created=0.0,
    )
