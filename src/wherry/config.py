"""What the environment says: the one module that reads it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_ENGINE = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where wherry keeps things, and the engine it uses, unless it is told otherwise."""

    engine: str
    """``WHERRY_ENGINE``: see :func:`wherry.engines.connect`."""
    data_dir: Path
    """``WHERRY_DATA_DIR``, else ``/var/lib/wherry`` as root and ``wherry`` in ``XDG_DATA_HOME``
    as any other user: images, state, records."""
    config_dir: Path
    """``WHERRY_CONFIG_DIR``, else ``wherry`` in ``XDG_CONFIG_HOME``."""
    runtime_dir: Path
    """``wherry`` in ``XDG_RUNTIME_DIR``, else a directory of this user's own in the temporary
    one: sockets and what must not survive a reboot."""
    insecure_registries: tuple[str, ...]
    """``WHERRY_INSECURE_REGISTRIES``: hosts, by commas, that may be asked without TLS."""
    docker_host: str | None
    """``DOCKER_HOST``: the engine API's address, as the docker command reads it."""
    docker_tls_verify: bool
    """``DOCKER_TLS_VERIFY`` is set and not empty."""
    docker_cert_path: Path | None
    """``DOCKER_CERT_PATH``: directory of ca.pem, cert.pem and key.pem."""
    docker_config: Path
    """``DOCKER_CONFIG``, else ``~/.docker``: directory of config.json, with logins."""
    gateway: str | None = None
    """``WHERRY_GATEWAY``, else ``OPENFAAS_URL``: the gateway that commands speak to."""
    token: str | None = field(default=None, repr=False)
    """``WHERRY_TOKEN``: what they say to it."""


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment now; nothing is kept. An empty variable counts as absent."""

    def path(name: str, default: Path) -> Path:
        return Path(value).absolute() if (value := environ.get(name)) else default

    home = Path(environ.get("HOME") or _home_of_user())
    config = path("XDG_CONFIG_HOME", home / ".config")
    data = path("XDG_DATA_HOME", home / ".local/share") / "wherry"
    registries = environ.get("WHERRY_INSECURE_REGISTRIES", "").split(",")
    return Settings(
        engine=environ.get("WHERRY_ENGINE") or DEFAULT_ENGINE,
        data_dir=path("WHERRY_DATA_DIR", data if os.geteuid() else Path("/var/lib/wherry")),
        config_dir=path("WHERRY_CONFIG_DIR", config / "wherry"),
        runtime_dir=_runtime_dir(environ),
        insecure_registries=tuple(host.strip() for host in registries if host.strip()),
        docker_host=environ.get("DOCKER_HOST") or None,
        docker_tls_verify=bool(environ.get("DOCKER_TLS_VERIFY")),
        docker_cert_path=Path(value) if (value := environ.get("DOCKER_CERT_PATH")) else None,
        docker_config=path("DOCKER_CONFIG", home / ".docker"),
        gateway=environ.get("WHERRY_GATEWAY") or environ.get("OPENFAAS_URL") or None,
        token=environ.get("WHERRY_TOKEN") or None,
    )


def _home_of_user() -> str:
    """Return what the system says, or the root for a number without a name, as Docker has it."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"


def variable(name: str, *, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return a variable that the user names, such as for ``--env NAME``; None when it is unset."""
    return environ.get(name)


def inherited(*names: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the part of our environment that a child process is to have, and nothing else."""
    return {name: environ[name] for name in names if name in environ}


def _runtime_dir(environ: Mapping[str, str]) -> Path:
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "wherry"
    return Path(environ.get("TMPDIR") or "/tmp") / f"wherry-{os.getuid()}"  # noqa: S108
