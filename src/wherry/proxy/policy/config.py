"""The part of a container that an image can have as well: Config (2.3, first table)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wherry.proxy.policy import labels, paths
from wherry.proxy.policy.model import NESTED, FoundImage, Policy

if TYPE_CHECKING:
    from wherry.proxy.policy.fields import Fields

_HOSTNAME = re.compile(r"[A-Za-z0-9_.-]{0,255}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/(?:tcp|udp|sctp))?", re.ASCII)
_SIGNAL = re.compile(r"[A-Za-z0-9+-]{1,20}", re.ASCII)
_SECOND = 10**9
_HOUR = 3600 * _SECOND
_LONGEST_TEST = 16 * 1024
_TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")
_COPIED_TRUTHS = (
    "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce",
    "NetworkDisabled", "ArgsEscaped",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """How a container is asked whether it is well; times in nanoseconds, 0 is the default."""

    test: tuple[str, ...]
    times: dict[str, int]
    retries: int = 0

    def render(self) -> dict[str, object]:
        """Return the field of a new Config."""
        return {"Test": list(self.test), **self.times, "Retries": self.retries}


@dataclass(frozen=True, slots=True)
class Config:
    """What runs, and how it is told."""

    copied: dict[str, object] = field(default_factory=dict)
    """Fields that are harmless, checked for their type and grammar, by name."""
    labels: dict[str, str] = field(default_factory=dict)
    nested: str | None = None
    """What the label ``wherry.docker-api`` asks for; None without it."""
    healthcheck: Healthcheck | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    env: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def render(self) -> dict[str, object]:
        """Return the fields of a new Config, labels left to the caller."""
        body = dict(self.copied)
        if self.user:
            body["User"] = self.user
        if self.env:
            body["Env"] = list(self.env)
        if self.working_dir:
            body["WorkingDir"] = self.working_dir
        if self.healthcheck:
            body["Healthcheck"] = self.healthcheck.render()
        if self.volumes:
            body["Volumes"] = {path: {} for path in self.volumes}
        return body


def parse(fields: Fields, policy: Policy) -> Config:
    """Read a Config; ``Image`` and what is no part of a Config is left to the caller.

    Raises :class:`Denied`.
    """
    copied: dict[str, object] = {key: True for key in _COPIED_TRUTHS if fields.boolean(key)}
    for key in ("Cmd", "Entrypoint", "Shell"):
        if fields.has(key):
            copied[key] = list(fields.command(key))
    for key in ("Hostname", "Domainname"):
        if name := fields.text(key):
            if not _HOSTNAME.fullmatch(name):
                raise fields.denied(key, f"{name!r} is no name of a host", status=400)
            copied[key] = name
    if ports := _ports(fields):
        copied["ExposedPorts"] = {port: {} for port in ports}
    if signal := check_signal(fields, "StopSignal"):
        copied["StopSignal"] = signal
    if fields.has("StopTimeout"):
        copied["StopTimeout"] = _stop_timeout(fields, policy)
    fields.empty("OnBuild", why="runs in other builds; leave it out")
    given = fields.pairs("Labels")
    where = "WorkingDir"
    return Config(
        copied=copied,
        labels=labels.check(given, policy, field=fields.path("Labels")),
        nested=given.get(NESTED),
        healthcheck=_healthcheck(fields.child("Healthcheck")),
        volumes=tuple(
            paths.check_target(path, field=fields.path("Volumes"), rule="2.3 Volumes")
            for path in fields.keys("Volumes")
        ),
        working_dir=paths.check_working_dir(
            fields.text(where), field=fields.path(where), rule="2.3 WorkingDir"
        ),
        user=check_user(fields, policy),
        env=check_env(fields),
        warnings=("MacAddress is not taken over",) if fields.text("MacAddress") else (),
    )


def check_user(fields: Fields, policy: Policy) -> str:
    """Return ``User``; raises :class:`Denied` where root is not allowed and it could be root.

    A name is refused then, too: the image says whose number it has.
    """
    user = fields.text("User")
    if any(ord(char) < 33 for char in user) or len(user) > 128:
        raise fields.denied("User", f"{user!r} is no user", status=400)
    number = user.partition(":")[0]
    if policy.allow_root or not user:
        return user
    if not re.fullmatch(r"[0-9]{1,10}", number, re.ASCII) or int(number) == 0:
        fields.refuse("User", f"{user!r} may be root; give the number of another user")
    return user


def check_image_user(user: str, image: FoundImage, *, policy: Policy) -> str:
    """Return why a container without ``User`` cannot run; empty when it can."""
    number = image.user.partition(":")[0]
    right = re.fullmatch(r"[0-9]{1,10}", number, re.ASCII) and int(number) != 0
    return "" if user or policy.allow_root or right else "the image's user may be root; give User"


def check_env(fields: Fields) -> tuple[str, ...]:
    """Return ``Env``; raises :class:`Denied` for a variable without a name."""
    found = fields.texts("Env")
    for text in found:
        if not text.partition("=")[0]:
            raise fields.denied("Env", f"{text!r} must be NAME=VALUE", status=400)
    return found


def check_signal(fields: Fields, key: str) -> str:
    """Return a signal; empty without one."""
    text = fields.text(key)
    if text and not _SIGNAL.fullmatch(text):
        raise fields.denied(key, f"{text!r} is no signal; write SIGTERM or 15", status=400)
    return text.upper()


def _ports(fields: Fields) -> tuple[str, ...]:
    found = fields.keys("ExposedPorts")
    for text in found:
        if not _PORT.fullmatch(text):
            raise fields.denied("ExposedPorts", f"{text!r} must be as in 80/tcp", status=400)
    return found


def _stop_timeout(fields: Fields, policy: Policy) -> int:
    value = fields.integer("StopTimeout", least=-1, most=2**31)
    most = policy.limits.stop_timeout
    return most if value < 0 else min(value, most)


def check_image_health(given: Healthcheck | None, image: FoundImage) -> Healthcheck | None:
    """Return the health check of a container: times of its image are a second or more as well.

    An engine takes from the image what a container does not say.
    """
    kept = given or Healthcheck((), {})
    inherited = {key: image.healthcheck.get(key) for key in _TIMES if key not in kept.times}
    short = {key: _SECOND for key, time in inherited.items()
             if isinstance(time, int) and 0 < time < _SECOND}  # fmt: skip
    return replace(kept, times={**kept.times, **short}) if short else given


def _healthcheck(fields: Fields) -> Healthcheck | None:
    test = fields.texts("Test")
    if sum(len(part) for part in test) > _LONGEST_TEST:
        raise fields.denied("Test", f"is longer than {_LONGEST_TEST} characters", status=400)
    times = {}
    for key in _TIMES:
        value = fields.integer(key, least=0, most=24 * _HOUR)
        if value and value < _SECOND:
            fields.refuse(key, f"{value} is less than a second, which is {_SECOND}")
        if value:
            times[key] = value
    retries = fields.integer("Retries", least=0, most=1000)
    fields.done()
    return Healthcheck(test, times, retries) if test or times or retries else None
