"""What a function asks for, in the words of the Engine API; what it cannot have is an error here.

The profile is safe unless the function says otherwise: no network, no capability, no new
privileges, an init, a limit of processes. The log driver is ``none``: results never depend on
it, and output that has been delivered is not kept on the engine's disk as well.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from wherry.engines.docker.layout import Layout
from wherry.engines.docker.owner import labels_of
from wherry.errors import UsageError
from wherry.models import Function, Invocation, Limits, Mount, Network

LOWEST_MEMORY = 6 * 1024 * 1024
DEFAULT_PIDS = 1024
_NETWORKS: dict[Network, str] = {"none": "none", "private": "bridge", "host": "host"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the engine's owner decides for every container."""

    private_network: str = "bridge"
    """The engine's network that ``network="private"`` stands for."""
    runtime: str | None = None
    """Name of an OCI runtime the engine knows; None is its default."""
    log_driver: str = "none"


def check(function: Function) -> None:
    """Raise UsageError or Unsupported for what no container of an engine can be."""
    Layout.of(function)
    environment_of(Invocation(function=function))
    if function.workdir is not None and not PurePosixPath(function.workdir).is_absolute():
        raise UsageError(f"workdir {function.workdir!r} must be an absolute path")
    if function.limits.cpus is not None and function.limits.cpus <= 0:
        raise UsageError(f"limits.cpus {function.limits.cpus} must be more than 0")
    if function.limits.pids is not None and function.limits.pids < 1:
        raise UsageError(f"limits.pids {function.limits.pids} must be at least 1")


def create_body(
    invocation: Invocation, *, profile: Profile, has_stdin: bool = True
) -> dict[str, Any]:
    """Return the body of ``POST /containers/create``; without stdin it is at its end at once."""
    function = invocation.function
    check(function)
    command = [*function.command, *invocation.args]
    body: dict[str, Any] = {
        "Image": function.image,
        # Both are needed for a half-close to reach the program as end of file, and no TTY.
        "OpenStdin": has_stdin,
        "StdinOnce": has_stdin,
        "AttachStdin": has_stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Env": environment_of(invocation),
        "Labels": dict(labels_of(invocation)),
        "HostConfig": _host_config(function, profile=profile),
    }
    optional: dict[str, Any] = {
        "Cmd": command or None,
        # One empty string is how an image's entrypoint is cleared.
        "Entrypoint": None if function.entrypoint is None else list(function.entrypoint) or [""],
        "User": function.user,
        "WorkingDir": function.workdir,
        "Hostname": function.hostname,
        "StopSignal": function.stop_signal,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def environment_of(invocation: Invocation) -> list[str]:
    """Return NAME=VALUE, the call's own over the function's; raises UsageError for no names."""
    merged = {**invocation.function.env, **invocation.env}
    for name, value in merged.items():
        if not name or "=" in name or "\0" in name + value:
            raise UsageError(f"env {name!r}: names have no '=' and nothing has a NUL in it")
    return [f"{name}={value}" for name, value in merged.items()]


def _host_config(function: Function, *, profile: Profile) -> dict[str, Any]:
    layout = Layout.of(function)
    network = _NETWORKS[function.network]
    config: dict[str, Any] = {
        "NetworkMode": profile.private_network if network == "bridge" else network,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Init": True,
        "AutoRemove": False,  # a container that removes itself can take its exit code with it
        "LogConfig": {"Type": profile.log_driver, "Config": {}},
        "ReadonlyRootfs": function.read_only,
        "Mounts": [_mount(mount) for mount in layout.mounts],
        "Tmpfs": dict(layout.tmpfs),
        **_limits(function.limits),
    }
    if profile.runtime:
        config["Runtime"] = profile.runtime
    if layout.shm_size is not None:
        config["ShmSize"] = layout.shm_size
    if layout.root_size is not None:
        config["StorageOpt"] = {"size": str(layout.root_size)}
    return config


def _mount(mount: Mount | str) -> dict[str, Any]:
    if isinstance(mount, str):
        return {"Type": "volume", "Target": mount}
    return {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _limits(limits: Limits) -> dict[str, Any]:
    config: dict[str, Any] = {"PidsLimit": DEFAULT_PIDS if limits.pids is None else limits.pids}
    if limits.memory is not None:
        memory = max(limits.memory, LOWEST_MEMORY)
        if memory > limits.memory:
            _log.warning(
                "memory limit raised to the lowest that Docker accepts",
                extra={"asked": limits.memory, "sent": memory},
            )
        config |= {"Memory": memory, "MemorySwap": memory}
    if limits.cpus is not None:
        config["NanoCpus"] = round(limits.cpus * 1_000_000_000)
    return config
