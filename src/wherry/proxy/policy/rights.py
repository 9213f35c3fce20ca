"""Capabilities, security options, namespaces and kernel parameters: what would escape (2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wherry.proxy.policy import names
from wherry.proxy.policy.model import Found, Kind, Named, Policy

if TYPE_CHECKING:
    from wherry.proxy.policy.fields import Fields

_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z][A-Z_]{1,30})", re.ASCII)
_NO_NEW = frozenset({"no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"})
_GPU = re.compile(r"[A-Za-z0-9_.:-]{1,80}", re.ASCII)
_LEAVE = "leave it out"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a container's processes may do."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    no_new_privileges: bool = True
    pid: str = ""
    """A container whose processes it shares, or empty."""
    ipc: str = "private"
    """``private``, ``shareable``, ``none``, or ``container:`` and a container."""
    runtime: str = ""
    sysctls: dict[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    oom_score_adj: int = 0
    gpus: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """For each request: how many, or which."""

    @property
    def references(self) -> Iterator[Named]:
        """The containers whose namespaces are shared."""
        if self.pid:
            yield Named(Kind.CONTAINER, self.pid, "HostConfig.PidMode")
        if self.ipc.startswith("container:"):
            yield Named(Kind.CONTAINER, self.ipc.removeprefix("container:"), "HostConfig.IpcMode")

    def render(self, found: Found) -> dict[str, object]:
        """Return the fields of a new HostConfig."""
        other = self.ipc.removeprefix("container:")
        body: dict[str, object] = {
            "Privileged": False,
            "CgroupnsMode": "private",
            "IpcMode": self.ipc if other == self.ipc else f"container:{found.containers[other]}",
        }
        optional: dict[str, object] = {
            "CapAdd": list(self.add),
            "CapDrop": list(self.drop),
            "SecurityOpt": ["no-new-privileges"] if self.no_new_privileges else [],
            "PidMode": f"container:{found.containers[self.pid]}" if self.pid else "",
            "Runtime": self.runtime,
            "Sysctls": dict(self.sysctls),
            "GroupAdd": list(self.groups),
            "OomScoreAdj": self.oom_score_adj,
            "DeviceRequests": [
                {"Count": count, "DeviceIDs": list(ids) or None, "Capabilities": [["gpu"]]}
                for count, ids in self.gpus
            ],
        }
        return body | {key: value for key, value in optional.items() if value}


def parse(fields: Fields, policy: Policy) -> Rights:
    """Read what gives or takes rights in a HostConfig; raises :class:`Denied`."""
    fields.empty("Privileged", why="a privileged container is the host; leave it out")
    fields.absent("MaskedPaths", "ReadonlyPaths", why=f"opens /proc to the container; {_LEAVE}")
    fields.empty("UTSMode", "UsernsMode", "Cgroup", why=f"a namespace of its own is all; {_LEAVE}")
    if fields.text("CgroupnsMode") not in ("", "private"):
        fields.refuse("CgroupnsMode", "must be private")
    fields.empty("Annotations", why=f"are read by the host's runtime, as files too; {_LEAVE}")
    fields.empty("Capabilities", why="was removed from the engine; use CapAdd and CapDrop")
    fields.text("CgroupParent")  # the tenant's own is forced, whatever is asked for (F11)
    runtime = fields.choice("Runtime", policy.runtimes)
    return Rights(
        add=_added(fields, policy),
        drop=_dropped(fields, policy),
        no_new_privileges=_no_new_privileges(fields) or policy.no_new_privileges,
        pid=_joined(fields, "PidMode"),
        ipc=_ipc(fields),
        runtime=runtime,
        sysctls=_sysctls(fields, policy),
        groups=_groups(fields, policy),
        oom_score_adj=_oom(fields),
        gpus=tuple(_gpus(fields, policy)),
    )


def _capabilities(fields: Fields, key: str) -> tuple[str, ...]:
    found = []
    for text in fields.texts(key):
        match = _CAPABILITY.fullmatch(text.upper()) if text.isascii() else None
        if match is None:
            raise fields.denied(key, f"{text!r} is no capability", status=400)
        found.append(match[1])
    return tuple(dict.fromkeys(found))


def _added(fields: Fields, policy: Policy) -> tuple[str, ...]:
    found = _capabilities(fields, "CapAdd")
    for name in found:
        if name not in policy.capabilities:
            allowed = ", ".join(sorted(policy.capabilities)) or "none"
            fields.refuse("CapAdd", f"{name} may not be added; allowed: {allowed}")
    return found


def _dropped(fields: Fields, policy: Policy) -> tuple[str, ...]:
    found = _capabilities(fields, "CapDrop")
    forced = sorted(policy.drop_capabilities - set(_capabilities(fields, "CapAdd")))
    return found if "ALL" in found else tuple(dict.fromkeys((*found, *forced)))


def _no_new_privileges(fields: Fields) -> bool:
    given = fields.texts("SecurityOpt")
    for text in given:
        if text not in _NO_NEW:
            fields.refuse("SecurityOpt", f"{text!r} would weaken the container; "
                          "only no-new-privileges may be given")  # fmt: skip
    return bool(given)


def _joined(fields: Fields, key: str, others: tuple[str, ...] = ()) -> str:
    text = fields.text(key)
    name = text.removeprefix("container:")
    if not text:
        return ""
    if name == text or not names.is_name(name):
        allowed = ", ".join((*others, "container: and one of your own"))
        fields.refuse(key, f"{text!r} is not allowed; it may be empty, {allowed}")
    return name


def _ipc(fields: Fields) -> str:
    plain = ("private", "shareable", "none")
    if (text := fields.text("IpcMode")) in ("", *plain):
        return text or "private"
    return f"container:{_joined(fields, 'IpcMode', plain)}"


def _sysctls(fields: Fields, policy: Policy) -> dict[str, str]:
    given = fields.pairs("Sysctls")
    for key, value in given.items():
        if key not in policy.sysctls:
            allowed = ", ".join(sorted(policy.sysctls)) or "none"
            fields.refuse("Sysctls", f"{key!r} may not be set; allowed: {allowed}")
        if "\n" in value:
            raise fields.denied("Sysctls", f"{key!r} must be one line", status=400)
    return given


def _groups(fields: Fields, policy: Policy) -> tuple[str, ...]:
    given = fields.texts("GroupAdd")
    for name in given:
        if name not in policy.groups:
            allowed = ", ".join(sorted(policy.groups)) or "none"
            fields.refuse("GroupAdd", f"{name!r} may not be joined; allowed: {allowed}")
    return given


def _oom(fields: Fields) -> int:
    value = fields.integer("OomScoreAdj", least=-1000, most=1000)
    if value < 0:
        fields.refuse("OomScoreAdj", f"{value} would end the host's processes first; "
                      "it may be 0 to 1000")  # fmt: skip
    return value


def _gpus(fields: Fields, policy: Policy) -> Iterator[tuple[int, tuple[str, ...]]]:
    given = fields.children("DeviceRequests")
    if given and not policy.gpus:
        fields.refuse("DeviceRequests", "devices of the host are not offered; leave it out")
    for each in given:
        each.choice("Driver", {"nvidia"})
        each.empty("Options", why="is not offered")
        if each.raw("Capabilities") not in (None, [["gpu"]]):
            each.refuse("Capabilities", 'may only be [["gpu"]]')
        ids = each.texts("DeviceIDs")
        if not all(_GPU.fullmatch(name) for name in ids):
            raise each.denied("DeviceIDs", "must be numbers or names of devices", status=400)
        count = each.integer("Count", least=-1, most=64)
        each.done()
        yield count, ids
