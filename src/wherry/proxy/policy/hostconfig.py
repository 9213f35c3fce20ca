"""HostConfig: what a container may ask of the host, field by field (2.3, second table)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.proxy.policy import mounts, names, resources, rights
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.model import Found, Kind, Limits, Named, Policy, Ports, TenantView
from wherry.units import parse_size

if TYPE_CHECKING:
    from wherry.proxy.policy.mounts import Files
    from wherry.proxy.policy.resources import Resources
    from wherry.proxy.policy.rights import Rights

_DEFAULTS = ("", "default", "bridge")
"""Names of the default bridge; the tenant's own network stands in for it."""
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_CONTAINER_PORT = re.compile(r"[0-9]{1,5}(?:/(?:tcp|udp|sctp))?", re.ASCII)
_DNS_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)
_DNS_OPTION = re.compile(r"[A-Za-z0-9_:.-]{1,64}", re.ASCII)
_HOST = re.compile(r"([A-Za-z0-9_.-]{1,255})[:=]\[?([0-9A-Fa-f.:]{2,45})\]?", re.ASCII)
_LOG_SIZE = re.compile(r"[1-9][0-9]{0,12}[kmg]?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Logs:
    """Where output is kept: on the engine's disk, bounded, or nowhere."""

    driver: str
    options: dict[str, str] = field(default_factory=dict)

    def render(self) -> dict[str, object]:
        """Return the field of a new HostConfig."""
        return {"Type": self.driver, "Config": dict(self.options)}


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What a container asks of the host."""

    resources: Resources
    rights: Rights
    files: Files
    logs: Logs
    network: str = ""
    """Empty for the tenant's own network, ``none``, a network, or ``container:`` and one."""
    restarts: int = 0
    """How often it is started again after a failure."""
    shm: int = 0
    ports: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """For each port of the container: addresses and ports of the host."""
    storage: int = 0
    copied: dict[str, object] = field(default_factory=dict)
    """Harmless fields, checked for their type and grammar, by name."""

    @property
    def references(self) -> Iterator[Named]:
        """All that has to be looked up."""
        where = "HostConfig.NetworkMode"
        if self.network.startswith("container:"):
            yield Named(Kind.CONTAINER, self.network.removeprefix("container:"), where)
        elif self.network not in ("", "none"):
            yield Named(Kind.NETWORK, self.network, where)
        yield from self.rights.references
        yield from self.files.references

    def mode(self, found: Found, tenant: TenantView) -> str:
        """Return the ``NetworkMode`` of the new body."""
        if self.network.startswith("container:"):
            return f"container:{found.containers[self.network.removeprefix('container:')]}"
        if self.network == "none":
            return "none"
        return found.networks[self.network] if self.network else tenant.network or "none"

    def render(self, found: Found, tenant: TenantView) -> dict[str, object]:
        """Return a new HostConfig, complete: it is never left out (F2)."""
        body = {
            "NetworkMode": self.mode(found, tenant),
            "LogConfig": self.logs.render(),
            "ShmSize": self.shm,
            **self.resources.render(),
            **self.rights.render(found),
            **self.files.render(found, tenant),
            **self.copied,
        }
        body["RestartPolicy"] = restart_policy(self.restarts)
        if tenant.cgroup_parent:
            body["CgroupParent"] = tenant.cgroup_parent
        if self.ports:
            body["PortBindings"] = {
                port: [{"HostIp": address, "HostPort": number} for address, number in bindings]
                for port, bindings in self.ports.items()
            }
        if self.storage:
            body["StorageOpt"] = {"size": str(self.storage)}
        return body


def parse(fields: Fields, policy: Policy) -> HostConfig:
    """Read a HostConfig; every field there is has a rule here. Raises :class:`Denied`."""
    fields.empty("ContainerIDFile", why="is the client's own; leave it out")
    if fields.text("Isolation") not in ("", "default"):
        fields.refuse("Isolation", "is not used on Linux")
    fields.empty("Links", why="names other containers; use a network of your own")
    fields.empty("PublishAllPorts", why="would open ports on every address of the host; "
                 "name them in PortBindings")  # fmt: skip
    fields.empty("LxcConf", why="was removed from the engine")
    found = HostConfig(
        resources=resources.parse(fields, policy.limits),
        rights=rights.parse(fields, policy),
        files=mounts.parse(fields, policy),
        logs=_logs(fields.child("LogConfig"), policy.limits),
        network=_network(fields),
        restarts=parse_restarts(fields.child("RestartPolicy"), policy.limits),
        shm=min(fields.integer("ShmSize", least=0) or policy.limits.shm, policy.limits.shm),
        ports=_ports(fields, policy.ports),
        storage=_storage(fields, policy.limits),
        copied=_copied(fields),
    )
    fields.done()
    return found


def is_default_network(text: str) -> bool:
    """Whether this names the default bridge, which tenants do not share."""
    return text in _DEFAULTS


def parse_restarts(fields: Fields, limits: Limits) -> int:
    """Return how often to start again: 0 is never. Raises :class:`Denied`."""
    name = fields.text("Name")
    count = fields.integer("MaximumRetryCount", least=0)
    fields.done()
    if name in ("", "no"):
        return 0
    if name != "on-failure":
        fields.refuse("Name", f"{name!r} would outlive its parent and the engine; "
                      f"it may be no, or on-failure at most {limits.restarts} times")  # fmt: skip
    return min(count or limits.restarts, limits.restarts)


def restart_policy(restarts: int) -> dict[str, object]:
    """Return the field of a new body."""
    if restarts == 0:
        return {"Name": "no"}
    return {"Name": "on-failure", "MaximumRetryCount": restarts}


def _network(fields: Fields) -> str:
    text = fields.text("NetworkMode")
    if is_default_network(text):
        return ""
    if text == "host":
        fields.refuse("NetworkMode", "'host' is the host's network; it may be bridge, none, "
                      "a network of your own, or container: and one of your own")  # fmt: skip
    name = text.removeprefix("container:")
    if not names.is_name(name):
        raise fields.denied("NetworkMode", f"{text!r} is no network", status=400)
    return text


def _logs(fields: Fields, limits: Limits) -> Logs:
    driver = fields.choice("Type", {"json-file", "local", "none"}) or "json-file"
    given = fields.pairs("Config")
    fields.done()
    if driver == "none":
        return Logs("none")
    for key in given:
        if key not in ("max-size", "max-file", "mode", "compress"):
            fields.refuse("Config", f"{key!r} may not be set; max-size and max-file may")
    size = _log_size(given.get("max-size", ""), fields, limits)
    files = given.get("max-file", "") or str(limits.log_files)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", files, re.ASCII):
        raise fields.denied("Config", f"max-file: {files!r} is no number", status=400)
    options = {"max-size": str(size), "max-file": str(min(int(files), limits.log_files))}
    return Logs(driver, options)


def _log_size(text: str, fields: Fields, limits: Limits) -> int:
    if text in ("", "-1"):
        return limits.log_size
    if not _LOG_SIZE.fullmatch(text.lower()):
        raise fields.denied("Config", f"max-size: {text!r} must be as in 10m", status=400)
    return min(parse_size(text), limits.log_size)


def _ports(fields: Fields, allowed: Ports | None) -> dict[str, tuple[tuple[str, str], ...]]:
    given = fields.raw("PortBindings")
    if given in (None, {}):
        return {}
    if not isinstance(given, dict):
        raise fields.denied("PortBindings", "must be an object", status=400)
    if allowed is None:
        fields.refuse("PortBindings", "ports of the host are not offered; join a network and "
                      "connect to the container by its name")  # fmt: skip
    found = {}
    for port, bindings in given.items():
        if not _CONTAINER_PORT.fullmatch(port) or not isinstance(bindings, list | None):
            raise fields.denied("PortBindings", f"{port!r} must be as in 80/tcp, with a list",
                                status=400)  # fmt: skip
        inner = Fields({"PortBindings": bindings}, where="HostConfig", section="2.3")
        found[port] = tuple(_binding(each, allowed) for each in inner.children("PortBindings"))
    return found


def _binding(fields: Fields, allowed: Ports) -> tuple[str, str]:
    address, number = fields.text("HostIp"), fields.text("HostPort")
    fields.done()
    if address not in ("", "0.0.0.0", "::", allowed.address):  # noqa: S104
        fields.refuse("HostIp", f"{address!r} may not be used; {allowed.address} is")
    match = _PORT.fullmatch(number or f"{allowed.first}-{allowed.last}")
    if match is None:
        raise fields.denied("HostPort", f"{number!r} is no port", status=400)
    first, last = int(match[1]), int(match[2] or match[1])
    if number in ("", "0"):
        first, last = allowed.first, allowed.last
    if not allowed.first <= first <= last <= allowed.last:
        fields.refuse("HostPort", f"{number} is not within {allowed.first} to {allowed.last}")
    return allowed.address, f"{first}-{last}" if last > first else str(first)


def _storage(fields: Fields, limits: Limits) -> int:
    given = fields.pairs("StorageOpt")
    if unknown := given.keys() - {"size"}:
        fields.refuse("StorageOpt", f"{min(unknown)!r} may not be set; size may")
    asked = limits.storage
    if text := given.get("size"):
        try:
            asked = parse_size(text)
        except UsageError as error:
            raise fields.denied("StorageOpt", f"size: {error}", status=400) from error
    return min(asked, limits.storage) if limits.storage else asked


def _copied(fields: Fields) -> dict[str, object]:
    body: dict[str, object] = {
        key: True for key in ("AutoRemove", "ReadonlyRootfs") if fields.boolean(key)
    }
    if (init := fields.optional_boolean("Init")) is not None:
        body["Init"] = init
    size = fields.integers("ConsoleSize", count=2)
    if any(size):
        body["ConsoleSize"] = list(size)
    for key, right in (("Dns", _is_address), ("DnsSearch", _is_dns), ("DnsOptions", _is_option)):
        values = fields.texts(key)
        for value in values:
            if not right(value):
                raise fields.denied(key, f"{value!r} cannot be one", status=400)
        if values:
            body[key] = list(values)
    if hosts := [_extra_host(text, fields) for text in fields.texts("ExtraHosts")]:
        body["ExtraHosts"] = hosts
    return body


def _extra_host(text: str, fields: Fields) -> str:
    match = _HOST.fullmatch(text)
    if match is None or not _is_address(match[2]):
        fields.refuse("ExtraHosts", f"{text!r} must be NAME:ADDRESS; host-gateway is not offered")
    return f"{match[1]}:{match[2]}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_dns(text: str) -> bool:
    return _DNS_NAME.fullmatch(text) is not None


def _is_option(text: str) -> bool:
    return _DNS_OPTION.fullmatch(text) is not None
