"""``POST /build`` by the classic builder: the query, and the context written anew (2.6)."""

from __future__ import annotations

import math
import posixpath
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, TYPE_CHECKING

from wherry.proxy.policy import dockerfile, names, paths, queries, resources, strict_json
from wherry.proxy.policy import labels as labelling
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.model import OWNER, Amounts, Denied, Named, Policy, TenantView
from wherry.proxy.policy.resources import Resources

if TYPE_CHECKING:
    from wherry.proxy.policy.dockerfile import Instruction
    from wherry.proxy.policy.routing import Query

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DEFAULT = "Dockerfile"
_EMPTY = ("", "[]", "{}", "null", "0", "false")
_REFUSED = ("remote", "extrahosts", "cachefrom", "securityopt", "outputs", "session", "buildid",
            "squash", "isolation", "cpusetmems")  # fmt: skip
_COUNTED = {"memory": "Memory", "memswap": "MemorySwap", "cpushares": "CpuShares",
            "cpuperiod": "CpuPeriod", "cpuquota": "CpuQuota"}  # fmt: skip
_PERIOD = 100_000
_MOST_FILES = 100_000
_LONGEST = 16 * 1024
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Build:
    """What a tenant wants to have built."""

    dockerfile: str = _DEFAULT
    tags: tuple[str, ...] = ()
    """The engine's names, in the tenant's own name space."""
    labels: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    no_cache: bool = False
    quiet: bool = False
    network: str = ""
    """Empty for the tenant's own network, or ``none``."""
    resources: Resources = field(default_factory=Resources)

    @property
    def amounts(self) -> Amounts:
        """What its containers take, one at a time."""
        return self.resources.amounts

    def query(
        self, tenant: TenantView, *, owner: Mapping[str, str] | None = None
    ) -> dict[str, str | tuple[str, ...]]:
        """Return the new query."""
        used = self.resources
        query: dict[str, str | tuple[str, ...]] = {
            "version": "1",
            "dockerfile": self.dockerfile,
            "rm": "1",
            "forcerm": "1",
            "labels": _json({**self.labels, **(owner or {}), OWNER: tenant.name}),
            "memory": str(used.memory),
            "memswap": str(used.memory),
            "cpuperiod": str(_PERIOD),
            "cpuquota": str(max(used.nano_cpus * _PERIOD // 10**9, 1000)),
            "shmsize": str(tenant.policy.limits.shm),
            "ulimits": _json([{"Name": "core", "Soft": 0, "Hard": 0}]),
            "networkmode": "none" if self.network else tenant.network or "none",
        }
        optional: dict[str, str | tuple[str, ...]] = {
            "t": self.tags,
            "buildargs": _json(self.arguments) if self.arguments else "",
            "target": self.target,
            "platform": self.platform,
            "nocache": "1" if self.no_cache else "",
            "q": "1" if self.quiet else "",
            "cgroupparent": tenant.cgroup_parent,
        }
        return query | {key: value for key, value in optional.items() if value}


@dataclass(frozen=True, slots=True)
class Context:
    """A context that has been read: its Dockerfile, and where that is."""

    name: str
    instructions: tuple[Instruction, ...]

    @property
    def references(self) -> tuple[Named, ...]:
        """The images that it builds upon or copies from."""
        return dockerfile.references(self.instructions)


def parse(query: Query, tenant: TenantView) -> Build:
    """Read the query; raises :class:`Denied` for what a tenant may not choose."""
    policy = tenant.policy
    for key in _REFUSED:
        if any(value not in _EMPTY for value in query.all(key)):
            raise Denied(403, f"{key}: is not offered; leave it out", rule=f"2.6 {key}")
    if query.one("version", "1") not in ("", "1"):
        raise Denied(403, "version: BuildKit is not offered; set DOCKER_BUILDKIT=0",
                     rule="2.6 version")  # fmt: skip
    given = labelling.check(_pairs(query, "labels"), policy, field="labels")
    return Build(
        dockerfile=_path(query.one("dockerfile") or _DEFAULT),
        tags=tuple(names.scoped_image(tenant.name, t, field="t") for t in query.all("t") if t),
        labels=given,
        arguments=_arguments(query),
        target=_word(query, "target"),
        platform=queries.check_platform(query.one("platform"), field="platform"),
        no_cache=queries.truth(query, "nocache"),
        quiet=queries.truth(query, "q"),
        network=_network(query.one("networkmode")),
        resources=_resources(query, policy),
    )


def read_context(source: IO[bytes], build: Build, *, policy: Policy) -> Context:
    """Read a spooled context from its beginning; raises :class:`Denied`.

    It must be a plain tar with one Dockerfile, which is a plain file and not reached by a link.
    """
    _check_magic(source)
    held: dict[str, bytes] = {}
    links: set[str] = set()
    wanted = {build.dockerfile} | ({"dockerfile"} if build.dockerfile == _DEFAULT else set())
    with _opened(source) as archive:
        for name, member in _members(archive):
            if member.issym():
                links.add(name)
            if name in wanted:
                if name in held or not member.isreg():
                    raise _denied(f"{name!r} must be there once, as a plain file")
                held[name] = _content(archive, member)
    name = next((name for name in (build.dockerfile, "dockerfile") if name in held), "")
    if not name:
        raise Denied(400, f"Cannot locate specified Dockerfile: {build.dockerfile}",
                     rule="2.6 dockerfile")  # fmt: skip
    if any(name.startswith(f"{link}/") for link in links):
        raise _denied(f"{name!r} leads through a link")
    return Context(name, dockerfile.parse(held[name], policy))


def write_context(
    source: IO[bytes], sink: IO[bytes], *, context: Context, ids: Mapping[str, str],
    marks: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Write the context anew, member by member, with the Dockerfile that names full ids.

    ``ids`` holds the full id of every image of ``context.references``; ``marks`` are labels of
    what the build makes on its way.
    """
    source.seek(0)
    content = dockerfile.write(context.instructions, ids, marks=marks or {})
    with _opened(source) as archive, tarfile.open(
        fileobj=sink, mode="w", format=tarfile.PAX_FORMAT
    ) as new:  # fmt: skip
        for name, member in _members(archive):
            if name != context.name:
                data = archive.extractfile(member) if member.isreg() else None
                new.addfile(_plain(name, member), data)
        header = tarfile.TarInfo(context.name)
        header.size = len(content)
        new.addfile(header, BytesIO(content))


def _plain(name: str, member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a new header of a member: nothing but what is copied here goes on."""
    header = tarfile.TarInfo(name)
    header.type = tarfile.REGTYPE if member.isreg() else member.type
    header.size = member.size if member.isreg() else 0
    header.mode = member.mode & 0o7777
    header.mtime = int(member.mtime)
    header.uid, header.gid = member.uid, member.gid
    header.linkname = member.linkname
    if member.islnk():
        header.linkname = _inside(member.linkname)
    return header


def _members(archive: tarfile.TarFile) -> list[tuple[str, tarfile.TarInfo]]:
    """Return every member with its plain name; raises :class:`Denied` for what could mislead.

    A name that leads through a link of the context would write somewhere else than it says.
    """
    found: list[tuple[str, tarfile.TarInfo]] = []
    links: set[str] = set()
    try:
        for member in archive:
            name = _inside(member.name)
            if len(found) >= _MOST_FILES:
                raise _denied(f"more than {_MOST_FILES} files")
            _check_member(name, member)
            parts = name.split("/")
            if any("/".join(parts[:end]) in links for end in range(1, len(parts))):
                raise _denied(f"{name!r} leads through a link")
            if member.issym():
                links.add(name)
            if name:
                found.append((name, member))
    except (tarfile.TarError, RecursionError, OverflowError, EOFError, ValueError) as error:
        raise Denied(400, f"the context is no tar: {error}", rule="2.6 context") from error
    return found


def _check_member(name: str, member: tarfile.TarInfo) -> None:
    right = member.isreg() or member.isdir() or member.issym() or member.islnk()
    if not right or member.issparse() or member.size < 0:  # sizes: CVE-2025-8194
        raise _denied(f"{name!r} is no plain file, directory or link")
    if "\0" in member.linkname or len(member.linkname) > _LONGEST:
        raise _denied(f"{name!r} is a link to no name")
    if member.islnk():
        _inside(member.linkname)
    if not math.isfinite(member.mtime):
        raise _denied(f"{name!r} has no time")


def _inside(text: str) -> str:
    if "\0" in text or len(text) > _LONGEST or ".." in text.split("/"):
        raise _denied(f"the name {text[:80]!r} is not below the context")
    return posixpath.normpath("/" + text.lstrip("/"))[1:]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    data = archive.extractfile(member)
    assert data
    return data.read(1024 * 1024)


def _opened(source: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=source, mode="r:")
    except tarfile.TarError as error:
        raise Denied(400, f"the context is no tar: {error}", rule="2.6 context") from error


def check_plain_tar(start: bytes, *, field: str) -> None:
    """Raise :class:`Denied` unless a body begins as an uncompressed tar does.

    The engine would unpack a compressed one with a program that it finds in the container
    (CVE-2026-41567). ``start`` is the first 512 bytes, or all there is.
    """
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise Denied(400, f"{field}: must be an uncompressed tar, not {kind}",
                         rule="CVE-2026-41567")  # fmt: skip
    ended = not start.strip(b"\0")
    if not ended and (len(start) < 512 or start[257:262] != b"ustar"):
        raise Denied(400, f"{field}: must be an uncompressed tar", rule="CVE-2026-41567")


def _check_magic(source: IO[bytes]) -> None:
    source.seek(0)
    check_plain_tar(source.read(512), field="context")
    source.seek(0)


def _resources(query: Query, policy: Policy) -> Resources:
    given: dict[str, object] = {}
    for key, name in _COUNTED.items():
        text = query.one(key)
        if text:
            if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
                raise Denied(400, f"{key}: {text[:40]!r} must be a number", rule=f"2.6 {key}")
            given[name] = max(int(text), 0)
    given["CpusetCpus"] = query.one("cpusetcpus")
    return resources.parse(Fields(given, section="2.6"), policy.limits)


def _network(text: str) -> str:
    if text not in ("", "default", "bridge", "none"):
        raise Denied(403, f"networkmode: {text[:60]!r} may be default or none",
                     rule="2.6 networkmode")  # fmt: skip
    return text if text == "none" else ""


def _path(text: str) -> str:
    name = posixpath.normpath(text)
    paths.check_relative(name, field="dockerfile", rule="2.6 dockerfile")
    return name


def _word(query: Query, key: str) -> str:
    text = query.one(key)
    if text and not _WORD.fullmatch(text):
        raise Denied(400, f"{key}: {text[:60]!r} is no name", rule=f"2.6 {key}")
    return text


def _pairs(query: Query, key: str) -> dict[str, str]:
    given = strict_json.parse_object(query.one(key).encode(), where=key, optional=True)
    return Fields({key: given}, section="2.6").pairs(key)


def _arguments(query: Query) -> dict[str, str | None]:
    text = query.one("buildargs")
    given = strict_json.parse_object(text.encode(), where="buildargs", optional=True)
    found: dict[str, str | None] = {}
    for key, value in given.items():
        if not (value is None or isinstance(value, str)):
            raise Denied(400, f"buildargs: {key[:40]!r} must be a text", rule="2.6 buildargs")
        found[key] = value
    return found


def _json(value: object) -> str:
    return strict_json.dump(value).decode("ascii")


def _denied(why: str) -> Denied:
    return Denied(400, f"context: {why}", rule="2.6 context")
