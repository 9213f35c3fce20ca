"""Bodies of exec requests (2.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wherry.proxy.policy import config, strict_json
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.paths import check_working_dir
from wherry.proxy.policy.queries import check_detach_keys

if TYPE_CHECKING:
    from wherry.proxy.policy.model import Policy

_TRUTHS = ("AttachStdin", "AttachStdout", "AttachStderr", "Tty")


@dataclass(frozen=True, slots=True)
class ExecCreate:
    """A program that is to run in a container besides its own."""

    command: tuple[str, ...]
    copied: dict[str, object] = field(default_factory=dict)

    def render(self) -> dict[str, object]:
        """Return the new body."""
        return {**self.copied, "Cmd": list(self.command), "Privileged": False}


@dataclass(frozen=True, slots=True)
class ExecStart:
    """How an exec is started."""

    detach: bool = False
    tty: bool = False
    console_size: tuple[int, ...] = ()

    def render(self) -> dict[str, object]:
        """Return the new body."""
        body: dict[str, object] = {"Detach": self.detach, "Tty": self.tty}
        return body | ({"ConsoleSize": list(self.console_size)} if self.console_size else {})


def parse_create(body: bytes, policy: Policy) -> ExecCreate:
    """Read the body of ``POST /containers/{id}/exec``; raises :class:`Denied`."""
    fields = Fields(strict_json.parse_object(body), section="2.4")
    fields.text("Container")  # docker-py and old clients repeat the path's
    fields.boolean("Detach")
    keys = fields.text("DetachKeys") or fields.text("detachKeys")  # aiodocker's spelling
    fields.empty("Privileged", why="a privileged program is the host; leave it out")
    command = fields.command("Cmd")
    if not command:
        raise fields.denied("Cmd", "No exec command specified", status=400)
    copied: dict[str, object] = {key: True for key in _TRUTHS if fields.boolean(key)}
    texts = {
        "User": config.check_user(fields, policy),
        "WorkingDir": check_working_dir(fields.text("WorkingDir"), field="WorkingDir",
                                        rule="2.4 WorkingDir"),
        "DetachKeys": check_detach_keys(keys, field="DetachKeys"),
    }  # fmt: skip
    copied |= {key: value for key, value in texts.items() if value}
    if env := config.check_env(fields):
        copied["Env"] = list(env)
    if any(size := fields.integers("ConsoleSize", count=2)):
        copied["ConsoleSize"] = list(size)
    fields.done()
    return ExecCreate(command, copied)


def parse_start(body: bytes) -> ExecStart:
    """Read the body of ``POST /exec/{id}/start``; raises :class:`Denied`."""
    fields = Fields(strict_json.parse_object(body, optional=True), section="2.4")
    size = fields.integers("ConsoleSize", count=2)
    found = ExecStart(fields.boolean("Detach"), fields.boolean("Tty"), size if any(size) else ())
    fields.done()
    return found
