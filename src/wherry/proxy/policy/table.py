"""Which endpoint is open to which profile, and why: the policy as a table that can be printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from wherry.proxy.policy.model import CopyIn, Denied, Policy, Profile
from wherry.proxy.policy.operations import ENDPOINTS, Operation


class Verdict(Enum):
    """What becomes of a request before its details are looked at."""

    ALLOW = "allow"
    SCOPED = "scoped"
    """Allowed for what is the tenant's own."""
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Row:
    """The rule of one endpoint."""

    operation: Operation
    open: Verdict
    """The verdict where it is open."""
    profiles: frozenset[Profile]
    """Where it is open without a flag."""
    rule: str
    why: str
    """What is checked where it is open, or why it is closed."""
    flag: str = ""
    """The setting of the policy that opens or closes it."""
    is_open: Callable[[Policy], bool] | None = None

    def verdict(self, policy: Policy) -> Verdict:
        """Return the verdict under a policy."""
        if self.is_open is not None:
            return self.open if self.is_open(policy) else Verdict.DENY
        return self.open if policy.profile in self.profiles else Verdict.DENY


_ALL = frozenset(Profile)
_WRITERS = frozenset({Profile.CHILDREN, Profile.CI})


def _row(
    name: str, why: str, *, open_: Verdict = Verdict.SCOPED,
    profiles: frozenset[Profile] = _WRITERS, rule: str = "", flag: str = "",
    when: Callable[[Policy], bool] | None = None,
) -> Row:  # fmt: skip
    return Row(Operation(name), open_, profiles, rule or f"2.2 {name}", why, flag, when)


def _read(name: str, why: str) -> Row:
    return _row(name, why, profiles=_ALL)


def _closed(name: str, why: str, *, rule: str = "") -> Row:
    return _row(name, why, open_=Verdict.DENY, profiles=frozenset(), rule=rule)


def _writes(policy: Policy) -> bool:
    return policy.profile in _WRITERS


def _builds(policy: Policy) -> bool:
    return _writes(policy) and policy.builds


_ROWS = (
    _row("ping", "answered here, with the pinned version and the classic builder",
         open_=Verdict.ALLOW, profiles=_ALL),
    _row("version", "the versions that are understood here", open_=Verdict.ALLOW, profiles=_ALL),
    _read("info", "made up: the tenant's counts, its quota as the machine"),
    _read("events", "filtered one by one, by the id of whom they are about"),
    _closed("system.df", "adds up the objects of everybody"),
    _closed("auth", "the engine would log in at any address"),
    _closed("debug", "shows the engine's memory", rule="F13"),
    _closed("metrics", "counts the objects of everybody", rule="F13"),
    _read("container.list", "own only; filters made anew"),
    _row("container.create", "every field has a rule; see below"),
    _read("container.inspect", "own; paths of the host emptied"),
    _read("container.top", "own; options of ps: letters, digits, `-`, `,` and `=`"),
    _read("container.logs", "own"),
    _read("container.changes", "own"),
    _read("container.stats", "own"),
    _row("container.export", "own", flag="copy_out", when=lambda p: _writes(p) and p.copy_out),
    _row("container.start", "own; a body is refused (F4)"),
    _row("container.stop", "own; time to stop is bounded"),
    _row("container.restart", "own; time to stop is bounded"),
    _row("container.kill", "own"),
    _row("container.update", "own; limits within the quota"),
    _row("container.rename", "own; the new name as for create"),
    _row("container.pause", "own"),
    _row("container.unpause", "own"),
    _read("container.wait", "own"),
    _row("container.resize", "own"),
    _row("container.attach", "own"),
    _row("container.attach.ws", "own"),
    _row("container.archive.stat", "own", flag="copy_out",
         when=lambda p: _writes(p) and (p.copy_out or p.copy_in is not CopyIn.NEVER)),
    _row("container.archive.get", "own", flag="copy_out",
         when=lambda p: _writes(p) and p.copy_out),
    _row("container.archive.put", "own; an uncompressed tar", flag="copy_in",
         when=lambda p: _writes(p) and p.copy_in is not CopyIn.NEVER),
    _row("container.remove", "own; links are refused"),
    _row("container.prune", "own, one by one"),
    _closed("container.checkpoints", "writes below a path of the host"),
    _closed("container.copy", "left the API with 1.24", rule="F4"),
    _row("exec.create", "own; privileged is refused"),
    _row("exec.start", "own"),
    _row("exec.resize", "own"),
    _read("exec.inspect", "own"),
    _row("commit", "own; tags in a name space of the tenant's", flag="build", when=_builds),
    _read("image.list", "own, and those that `images` names"),
    _read("image.inspect", "visible; only own and public names of it"),
    _read("image.history", "visible"),
    _read("image.attestations", "visible"),
    _row("image.save", "own"),
    _row("images.save", "own, every one"),
    _row("image.pull", "by the list `pull`; a tag of others is not moved", flag="pull",
         when=lambda p: _writes(p) and bool(p.pull)),
    _closed("image.load", "moves any tag of the engine"),
    _row("image.tag", "visible; tags in a name space of the tenant's"),
    _closed("image.push", "would send anything anywhere"),
    _row("image.remove", "own tags, never by force"),
    _row("image.prune", "own, one by one"),
    _closed("image.search", "the engine would ask any address"),
    _closed("distribution", "the engine would ask any address"),
    _row("build", "classic; the context is read and written anew", flag="build", when=_builds),
    _row("build.prune", "answered that nothing was removed, which `docker system prune` needs: the "
         "cache is everybody's", open_=Verdict.ALLOW),
    _closed("build.cancel", "the ids can be guessed"),
    _closed("session", "BuildKit; set DOCKER_BUILDKIT=0"),
    _closed("grpc", "BuildKit's whole control API; set DOCKER_BUILDKIT=0"),
    _read("network.list", "own"),
    _read("network.inspect", "own, and the tenant's `bridge`"),
    _row("network.create", "a bridge; no options, no addresses"),
    _row("network.connect", "own network, own container"),
    _row("network.disconnect", "own network, own container"),
    _row("network.remove", "own"),
    _row("network.prune", "own, one by one"),
    _read("volume.list", "own"),
    _read("volume.inspect", "own; without where it is"),
    _row("volume.create", "local; no options but a tmpfs of bounded size"),
    _closed("volume.update", "there is no cluster"),
    _row("volume.remove", "own"),
    _row("volume.prune", "own, one by one"),
    _closed("swarm", "services can mount anything of the host"),
    _closed("plugins", "a plugin is root on the host"),
    _closed("plugin.inspect", "answered as not there, which `docker inspect` needs"),
    _closed("libpod", "another engine's API"),
)  # fmt: skip

TABLE = {row.operation: row for row in _ROWS}
"""The row of every operation."""


def check(operation: Operation, policy: Policy, *, method: str = "POST", name: str = "") -> Verdict:
    """Return whether an endpoint is open; raises :class:`Denied` where it is not."""
    row = TABLE[operation]
    verdict = row.verdict(policy)
    if verdict is not Verdict.DENY:
        return verdict
    if operation is Operation.PLUGIN_INSPECT:
        raise Denied(404, f"plugin {name!r} not found".replace("'", '"'), rule=row.rule)
    if operation is Operation.SWARM and method == "GET":
        raise Denied(503, "This node is not a swarm manager", rule=row.rule)
    raise Denied(403, f"{operation.value}: {_why(row, policy)}", rule=row.rule)


def paths(operation: Operation) -> tuple[str, ...]:
    """Return the methods and paths of an operation, as the contract writes them."""
    return tuple(f"{e.method} {e.path}" for e in ENDPOINTS if e.operation is operation)


def _why(row: Row, policy: Policy) -> str:
    if row.open is Verdict.DENY:
        return f"{row.why}; it is never available through this socket"
    if policy.profile not in _WRITERS and row.profiles == _WRITERS:
        return f"the profile {policy.profile.value!r} may only look"
    if row.flag == "pull":
        return "the policy's 'pull' names no image that may be pulled"
    return f"the policy's {row.flag!r} does not allow it"
