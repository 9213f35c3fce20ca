"""What a request asks for, in the words of the Engine API; what it leaves out is the engine's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.remote.model import Port, RunRequest, Volume


def create_body(request: RunRequest) -> dict[str, Any]:
    """Return the body of ``POST /containers/create``, as ``docker run`` would send it."""
    attached = not request.detach
    body: dict[str, Any] = {
        "Image": request.image,
        "AttachStdin": False,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "OpenStdin": False,
        "Tty": False,
        "HostConfig": _host_config(request),
    }
    optional: dict[str, Any] = {
        "Cmd": None if request.command is None else list(request.command),
        # One empty string is how an image's entrypoint is cleared.
        "Entrypoint": None if request.entrypoint is None else list(request.entrypoint) or [""],
        "Env": [f"{name}={value}" for name, value in request.env.items()] or None,
        "Labels": dict(request.labels) or None,
        "User": request.user,
        "WorkingDir": request.workdir,
        "ExposedPorts": {_inside(port): {} for port in request.ports} or None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _host_config(request: RunRequest) -> dict[str, Any]:
    config: dict[str, Any] = {"AutoRemove": request.remove}
    optional: dict[str, Any] = {
        "PortBindings": _bindings(request.ports) or None,
        "Binds": [_bind(volume) for volume in request.volumes] or None,
        "NetworkMode": request.network,
        "Memory": request.memory,
        "NanoCpus": None if request.cpus is None else round(request.cpus * 1_000_000_000),
        "CapAdd": list(request.capabilities) or None,
    }
    return config | {name: value for name, value in optional.items() if value is not None}


def _inside(port: Port) -> str:
    return f"{port.container}/{port.protocol}"


def _bindings(ports: tuple[Port, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        host = str(port.host) if port.host else ""
        bindings.setdefault(_inside(port), []).append({"HostIp": port.address, "HostPort": host})
    return bindings


def _bind(volume: Volume) -> str:
    return f"{volume.source}:{volume.target}{':ro' if volume.read_only else ''}"
