"""Bodies of volume requests (2.7, F5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry.errors import UsageError
from wherry.proxy.policy import labels as labelling
from wherry.proxy.policy import names, strict_json
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.model import OWNER, Policy, TenantView
from wherry.units import parse_size

_OPTION = re.compile(r"size=[0-9]{1,15}[kmg]?|mode=[0-7]{1,4}|[ug]id=[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VolumeCreate:
    """A volume that a tenant wants."""

    name: str = ""
    """Without prefix; empty: the engine makes a name."""
    size: int = 0
    """Bytes of a volume in memory; 0 is one on disk."""
    options: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)

    def render(
        self, tenant: TenantView, *, owner: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Return the new body.

        The answer must have the tenant's label: a volume that exists is given back as it is,
        whoever made it.
        """
        body: dict[str, object] = {
            "Driver": "local",
            "Labels": {**self.labels, **(owner or {}), OWNER: tenant.name},
        }
        if self.name:
            body["Name"] = names.scoped(tenant.name, self.name)
        if self.size:
            text = ",".join((f"size={self.size}", *self.options))
            body["DriverOpts"] = {"type": "tmpfs", "device": "tmpfs", "o": text}
        return body


def parse_create(body: bytes, policy: Policy) -> VolumeCreate:
    """Read the body of ``POST /volumes/create``; raises :class:`Denied`."""
    fields = Fields(strict_json.parse_object(body, optional=True), section="2.7")
    name = fields.text("Name")
    fields.choice("Driver", {"local"})
    fields.empty("ClusterVolumeSpec", why="there is no cluster")
    given = labelling.check(fields.pairs("Labels"), policy, field="Labels")
    size, options = _options(fields, policy)
    fields.done()
    return VolumeCreate(names.check_new(name, field="Name") if name else "", size, options, given)


def _options(fields: Fields, policy: Policy) -> tuple[int, tuple[str, ...]]:
    given = fields.pairs("DriverOpts")
    if not given:
        return 0, ()
    if given.get("type") != "tmpfs" or given.keys() - {"type", "device", "o"}:
        fields.refuse("DriverOpts", "mount anything of the host (F5); they may only be "
                      "type=tmpfs, device=tmpfs and o=size=64m")  # fmt: skip
    if given.get("device", "tmpfs") != "tmpfs":
        fields.refuse("DriverOpts", f"device: {given['device']!r} must be tmpfs")
    size, kept = policy.limits.tmpfs, []
    for option in filter(None, given.get("o", "").split(",")):
        if not _OPTION.fullmatch(option.lower()):
            fields.refuse("DriverOpts", f"o: {option!r} may be size, mode, uid and gid")
        if option.startswith("size="):
            size = min(_size(option[5:], fields) or size, size)
        else:
            kept.append(option)
    return size, tuple(kept)


def _size(text: str, fields: Fields) -> int:
    try:
        return parse_size(text)
    except UsageError as error:
        raise fields.denied("DriverOpts", f"o: {error}", status=400) from error
