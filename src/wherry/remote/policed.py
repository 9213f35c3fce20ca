"""A request to run, held against a policy: every field that could reach beyond its container."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wherry.remote.faults import Forbidden
from wherry.remote.ownership import labels_for
from wherry.remote.reaping import foreground_label

if TYPE_CHECKING:
    from wherry.models import Function
    from wherry.remote.model import Caller, Port, RunRequest
    from wherry.remote.policy import Policy

Amount = TypeVar("Amount", int, float)
_DEFAULT_NETWORK = "bridge"
_NETWORKS = {"none": "none", "private": "bridge", "host": "host"}
"""Of a function, and what the engine calls them."""


def policed(request: RunRequest, caller: Caller, *, policy: Policy) -> RunRequest:
    """Return what is run for a request. Raises Forbidden, naming the field.

    What the policy bounds and the request leaves open is as much as the policy gives.
    """
    for volume in request.volumes:
        policy.mount(volume.source, read_only=volume.read_only)
    for capability in request.capabilities:
        policy.capability(capability)
    policy.network(request.network or _DEFAULT_NETWORK)
    limits = policy.limits
    labels = labels_for(caller, request.labels)
    if not request.detach:
        name, value = foreground_label()
        labels[name] = value
    return replace(
        request,
        image=policy.image(request.image),
        ports=tuple(_port(port, policy=policy) for port in request.ports),
        labels=labels,
        memory=_within(request.memory, limits.memory, field="memory"),
        cpus=_within(request.cpus, limits.cpus, field="cpus"),
        timeout=_within(request.timeout, limits.timeout, field="timeout"),
    )


def policed_function(function: Function, caller: Caller, *, policy: Policy) -> Function:
    """Return a function as it may be called. Raises Forbidden, naming the field."""
    for mount in function.mounts:
        if mount.type == "bind":
            policy.mount(mount.source or "", read_only=mount.read_only)
    policy.network(_NETWORKS[function.network])
    limits, own = policy.limits, function.limits
    return replace(
        function,
        image=policy.image(function.image),
        labels=labels_for(caller, function.labels),
        limits=replace(
            own,
            memory=_within(own.memory, limits.memory, field="memory"),
            cpus=_within(own.cpus, limits.cpus, field="cpus"),
            timeout=_within(own.timeout, limits.timeout, field="timeout"),
        ),
    )


def _port(port: Port, *, policy: Policy) -> Port:
    policy.port(port.host or None)
    if policy.address is None:
        return port
    if port.address not in ("", policy.address):
        raise Forbidden(f"ports: the policy of this token publishes at {policy.address} only")
    return replace(port, address=policy.address)


def _within(asked: Amount | None, most: Amount | None, *, field: str) -> Amount | None:
    """Return what is asked for, or all there is; raises Forbidden for more than that."""
    if most is None or asked is None:
        return most if asked is None else asked
    if not 0 < asked <= most:
        raise Forbidden(f"{field}: the policy of this token allows {most:g}, and not {asked:g}")
    return asked
