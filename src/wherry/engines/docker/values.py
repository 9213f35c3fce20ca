"""What an engine tells, parsed once; Swarm and other engines leave fields out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSummary:
    """One line of a list of containers."""

    id: str
    name: str
    image: str
    state: str
    """``created``, ``running``, ``exited`` …"""
    labels: Mapping[str, str]
    created: float
    """Unix time."""

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """Read one element of ``GET /containers/json``."""
        names = item.get("Names") or [""]
        return cls(
            id=item["Id"],
            name=names[0].lstrip("/"),
            image=item.get("Image", ""),
            state=item.get("State", ""),
            labels=item.get("Labels") or {},
            created=float(item.get("Created") or 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDetails:
    """One container."""

    id: str
    name: str
    image: str
    """As it was asked for."""
    image_id: str
    state: str
    exit_code: int | None
    """None until it has ended."""
    oom_killed: bool
    pid: int | None
    """On the engine's host; None while it does not run."""
    labels: Mapping[str, str]
    tty: bool

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """Read the answer of ``GET /containers/ID/json``."""
        state, config = item.get("State") or {}, item.get("Config") or {}
        ended = state.get("Status") in ("exited", "dead")
        return cls(
            id=item["Id"],
            name=item.get("Name", "").lstrip("/"),
            image=config.get("Image", ""),
            image_id=item.get("Image", ""),
            state=state.get("Status", ""),
            exit_code=state.get("ExitCode") if ended else None,
            oom_killed=bool(state.get("OOMKilled")),
            pid=state.get("Pid") or None,
            labels=config.get("Labels") or {},
            tty=bool(config.get("Tty")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSummary:
    """One service of a Swarm."""

    id: str
    name: str
    labels: Mapping[str, str]

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """Read one element of ``GET /services``."""
        spec = item.get("Spec") or {}
        return cls(id=item["ID"], name=spec.get("Name", ""), labels=spec.get("Labels") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happened to a container."""

    action: str
    """``create``, ``start``, ``die``, ``oom``, ``destroy`` …"""
    id: str
    attributes: Mapping[str, str]
    """Labels, and what the action adds."""
    time: float
    """Unix time."""

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """Read one line of ``GET /events``."""
        actor = item.get("Actor") or {}
        return cls(
            action=item.get("Action", ""),
            id=actor.get("ID", ""),
            attributes=actor.get("Attributes") or {},
            time=item.get("timeNano", 0) / 1e9 or float(item.get("time", 0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """The engine itself."""

    name: str
    server_version: str
    operating_system: str
    architecture: str
    storage_driver: str
    cpus: int
    memory: int
    """Bytes."""
    swarm: bool
    """Whether it is part of an active swarm."""

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """Read the answer of ``GET /info``."""
        swarm = item.get("Swarm") or {}
        return cls(
            name=item.get("Name", ""),
            server_version=item.get("ServerVersion", ""),
            operating_system=item.get("OperatingSystem", ""),
            architecture=item.get("Architecture", ""),
            storage_driver=item.get("Driver", ""),
            cpus=int(item.get("NCPU") or 0),
            memory=int(item.get("MemTotal") or 0),
            swarm=swarm.get("LocalNodeState") == "active",
        )
