"""A deployed function: the document it was declared with, and what it means to us.

The document is OpenFaaS's FunctionDeployment, field for field, so that its tools deploy here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from wherry.models import Function, Ready

DEFAULT_NAMESPACE = "openfaas-fn"

Mode = Literal["stdio", "cgi", "http"]


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits or requests as Kubernetes spells them: ``128Mi``, ``250m``."""

    memory: str | None = None
    cpu: str | None = None
    gpu: str | None = msgspec.field(default=None, name="nvidia.com/gpu")


class Deployment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a client sends to deploy a function; fields that were not given stay absent.

    https://github.com/openfaas/faas-provider/blob/master/types/function_deployment.go
    """

    service: str
    image: str = ""
    namespace: str = ""
    env_process: str = ""
    env_vars: dict[str, str] | None = None
    constraints: list[str] | None = None
    secrets: list[str] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    limits: Resources | None = None
    requests: Resources | None = None
    read_only_root_filesystem: bool = False
    command: list[str] | None = None
    """Ours: the program and its arguments, where ``envProcess`` is one line for a shell's eyes."""
    pipe: list[str] | None = None
    """Ours: names of deployed functions; each one's stdout is the next one's stdin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a deployment's labels and environment say about calls of the function."""

    timeout: float | None = None
    """Seconds. None: the server's own maximum."""
    concurrency: int | None = None
    """Calls at one time; what is more is answered 429, or waits (``queue_wait``)."""
    queue_wait: float = 0.0
    """Seconds that a call waits for a place below ``concurrency``."""
    max_body: int | None = None
    """Bytes of a request's body. None: the server's own maximum."""
    stream: bool = False
    """Answer live, without holding back the first 64 KiB."""
    ready: Ready | None = None
    """As asked for; None leaves it to the server."""
    scale_min: int = 1
    scale_max: int = 20
    scale_to_zero: bool = True
    """Whether an idle function gives up its ready containers."""
    retries: int | None = None
    """Tries after the first of an async call. None: the server's own number."""
    retry_codes: frozenset[int] = frozenset()
    """Exit codes that are tried again; once there are any, others are final."""
    mode: Mode = "stdio"
    port: int = 8080
    """Where an HTTP-speaking image listens (mode ``http``)."""
    funker: int | None = None
    """Port of a program that was made for Funker; None: it is none."""
    health: str | None = None
    """Path that answers 2xx when an HTTP-speaking image is well; None: it accepts connections."""
    path: str | None = None
    """Prefix of the gateway's own paths that is mapped to this function."""
    docker_api: str | None = None
    """What its containers may do through a Docker socket of their own; None: they have none."""
    auth: bool = False
    """Whether a call needs a token with the scope ``invoke:<function>``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A function as it is deployed now."""

    name: str
    namespace: str
    deployment: Deployment
    """As it was given, to be echoed."""
    settings: Settings
    function: Function
    """What runs. Its name is :attr:`qualified`; its timeout is not in it, see ``settings``."""
    created: float
    """Unix time, seconds."""
    source: str = "api"
    """``api``, or the path of the file that declares it."""
    replicas: int = 1
    """Ready containers asked for by scaling; what is, is the pool's to tell."""

    @property
    def qualified(self) -> str:
        """``name.namespace``, which is unique."""
        return f"{self.name}.{self.namespace}"

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels as they were given; empty when there were none."""
        return self.deployment.labels or {}
