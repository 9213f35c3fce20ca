"""A Dockerfile, read as the classic builder reads it, and written anew (2.6).

What goes to the engine is written from what was read: each instruction on one line, every image
by its full id. So it does not matter where two readers of the same text would differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from wherry.proxy.policy import labels, names, paths
from wherry.proxy.policy.model import Denied, Kind, Named, Policy

CHANGES = ("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER",
           "VOLUME", "WORKDIR")  # fmt: skip
"""Instructions that a commit may make."""
_KNOWN = frozenset(
    {*CHANGES, "FROM", "RUN", "COPY", "ADD", "ARG", "SHELL", "MAINTAINER"}
)  # fmt: skip
_LARGEST = 256 * 1024
_LINE = re.compile(r"[ \t]*([A-Za-z]+)(?:[ \t]+(.*))?", re.ASCII | re.DOTALL)
_FROM = re.compile(
    r"(?:--platform=([A-Za-z0-9_./-]+)[ \t]+)?([A-Za-z0-9_.:/@-]+)"
    r"(?:[ \t]+[Aa][Ss][ \t]+([A-Za-z][A-Za-z0-9_.-]*))?[ \t]*", re.ASCII,
)  # fmt: skip
_FLAG = re.compile(r"--(from|chown|chmod)=([A-Za-z0-9_.:/@-]+)", re.ASCII)
_HEALTH_FLAG = re.compile(
    r"--retries=[0-9]{1,4}|--(?:interval|timeout|start-period|start-interval)="
    r"(?:[0-9]{1,6}[smh])+", re.ASCII,
)  # fmt: skip
_HEREDOC = re.compile(r"(?:^|[\s])[0-9]*<<-?[^<\s]", re.ASCII)
_REMOTE = re.compile(r"(?:https?|git|ssh|ftp)[:@]|git@|\.git(?:[#\s\"]|$)", re.IGNORECASE)
_MASTER = "2.6 Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One logical line."""

    word: str
    """In capitals."""
    rest: str
    image: str = ""
    """The image that ``FROM`` or ``COPY --from`` names; empty for none, or a stage of its own."""
    flags: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The line as it is written anew."""
        return " ".join(filter(None, (self.word, *self.flags, self.rest)))

    def resolved(self, ids: Mapping[str, str]) -> Instruction:
        """Return the same with the full id in the place of its image's name."""
        if not self.image:
            return self
        found = ids[self.image]
        if self.word == "FROM":
            return replace(self, rest=found + self.rest[len(self.image) :])
        flags = tuple(f"--from={found}" if f.startswith("--from=") else f for f in self.flags)
        return replace(self, flags=flags)


def parse(content: bytes, policy: Policy) -> tuple[Instruction, ...]:
    """Return the instructions of a Dockerfile; raises :class:`Denied` for what cannot be checked.

    Refused are a ``# syntax=`` (an image that reads the rest), other escape characters, ONBUILD,
    here-documents, remote sources of ADD, flags of BuildKit, and variables where an image or a
    working directory is named.
    """
    if len(content) > _LARGEST:
        raise _denied(f"more than {_LARGEST} bytes", status=413)
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _denied("must be UTF-8", status=400) from error
    found = read(text, policy=policy)
    stages: list[str] = []
    checked = []
    for each in found:
        if not stages and each.word not in ("FROM", "ARG"):
            raise _denied(f"{each.word} stands before the first FROM", status=400)
        checked.append(_placed(each, stages))
    if not stages:
        raise _denied("has no FROM", status=400)
    return tuple(checked)


def references(found: tuple[Instruction, ...]) -> tuple[Named, ...]:
    """Return the images that must be visible to the tenant."""
    wanted = [Named(Kind.IMAGE, each.image, f"Dockerfile: {each.word}")
              for each in found if each.image]  # fmt: skip
    return tuple(dict.fromkeys(wanted))


def write(
    found: tuple[Instruction, ...], ids: Mapping[str, str], *, marks: Mapping[str, str]
) -> bytes:
    """Return the new Dockerfile; ``ids`` holds the full id of every image it names.

    ``marks`` are labels of everything that is made on the way: so one tenant's steps are not in
    the cache of another's, and what a build that broke off has left can be told.
    """
    mark = " ".join(f"{json.dumps(key)}={json.dumps(value)}" for key, value in marks.items())
    lines = []
    for each in found:
        lines.append(each.resolved(ids).text)
        if each.word == "FROM" and mark:
            lines.append(f"LABEL {mark}")
    return "".join(f"{line}\n" for line in lines).encode()


def read(text: str, *, policy: Policy) -> tuple[Instruction, ...]:
    """Return the instructions of a text, each checked by itself; raises :class:`Denied`."""
    return tuple(_instruction(line, policy) for line in _logical(text))


def _logical(text: str) -> Iterator[str]:
    """Yield lines with those joined that end in a backslash, as the builder joins them."""
    if "\0" in text or "\r" in text.replace("\r\n", "\n"):
        raise _denied("has null characters or single carriage returns", status=400)
    held, directives = "", True
    for line in text.replace("\r\n", "\n").split("\n"):
        bare = line.strip(" \t")
        if bare.startswith("#"):
            directives = directives and not held and _check_directive(bare)
            continue
        if not bare:
            directives = False
            continue
        directives = False
        trimmed = line.rstrip(" \t")
        if trimmed.endswith("\\"):
            held += trimmed[:-1]
            continue
        yield held + trimmed
        held = ""
    if held.strip(" \t"):
        yield held.rstrip(" \t\\")


def _check_directive(line: str) -> bool:
    """Return whether directives may follow this comment; raises :class:`Denied` for bad ones."""
    name, equals, value = line[1:].partition("=")
    name, value = name.strip().lower(), value.strip()
    if not equals or not name.isalnum():
        return False
    if name == "syntax":
        raise _denied("'# syntax=' names an image that reads the rest; leave it out")
    if name == "escape" and value != "\\":
        raise _denied("'# escape=' may only be the backslash")
    return True


def _instruction(line: str, policy: Policy) -> Instruction:
    match = _LINE.fullmatch(line)
    word, rest = (match[1].upper(), (match[2] or "").strip(" \t")) if match else ("", "")
    if word == "ONBUILD":
        raise _denied("ONBUILD runs in other builds, unseen; leave it out")
    if word not in _KNOWN:
        raise _denied(f"{line.strip()[:60]!r} begins with no instruction that is known", status=400)
    if not rest:
        raise _denied(f"{word} says nothing", status=400)
    if word in ("RUN", "COPY", "ADD") and _HEREDOC.search(f" {rest}"):
        raise _denied(f"{word}: here-documents are not offered")
    found = Instruction(word, rest)
    check = _CHECKS.get(word)
    return check(found, policy) if check else found


def _from(found: Instruction, policy: Policy) -> Instruction:
    match = _FROM.fullmatch(found.rest)
    if match is None:
        raise _denied(f"FROM {found.rest[:80]!r} must be an image, and AS a name; variables are "
                      "not offered here")  # fmt: skip
    platform, image, stage = match.groups()
    flags = (f"--platform={platform}",) if platform else ()
    rest = f"{image} AS {stage}" if stage else image
    return Instruction("FROM", rest, image, flags)


def _copy(found: Instruction, policy: Policy) -> Instruction:
    flags, rest = [], found.rest
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ") if " " in rest else (rest, "", "")
        match = _FLAG.fullmatch(flag)
        if match is None or (found.word == "ADD" and match[1] == "from"):
            raise _denied(f"{found.word}: the flag {flag[:60]!r} is not offered")
        flags.append(flag)
        rest = rest.lstrip(" \t")
    origins = [flag.removeprefix("--from=") for flag in flags if flag.startswith("--from=")]
    if len(origins) > 1:
        raise _denied("COPY has two --from", status=400)
    if found.word == "ADD" and (_REMOTE.search(rest) or "$" in rest):
        raise _denied("ADD: the engine would fetch it; use RUN, or COPY for files")
    return Instruction(found.word, rest, origins[0] if origins else "", tuple(flags))


def _run(found: Instruction, policy: Policy) -> Instruction:
    if found.rest.startswith("--"):
        raise _denied("RUN: flags need BuildKit, which is not offered")
    return found


def _workdir(found: Instruction, policy: Policy) -> Instruction:
    text = found.rest.strip("\"'")
    if any(char in text for char in "$\\\"'") or ".." in text.split("/"):
        raise _denied(f"WORKDIR {found.rest[:60]!r} must be a plain path, without variables and ..")
    paths.check_working_dir(f"/{text.lstrip('/')}", field="WORKDIR", rule=_MASTER)
    return found


def _label(found: Instruction, policy: Policy) -> Instruction:
    for word in re.split(r"[\s=]+", found.rest):
        bare = re.sub(r"[\"'\\]", "", word)
        if labels.is_reserved(bare, policy):
            raise _denied(f"LABEL {bare[:60]!r} is reserved for the host")
    return found


def _healthcheck(found: Instruction, policy: Policy) -> Instruction:
    rest = found.rest
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        if not _HEALTH_FLAG.fullmatch(flag):
            raise _denied(f"HEALTHCHECK: {flag[:60]!r} must be in seconds, minutes or hours, "
                          "as in --interval=30s")  # fmt: skip
        rest = rest.lstrip(" \t")
    return found


def _shell(found: Instruction, policy: Policy) -> Instruction:
    if not found.rest.startswith("["):
        raise _denied("SHELL must be a list in JSON", status=400)
    return found


_CHECKS = {
    "FROM": _from, "COPY": _copy, "ADD": _copy, "RUN": _run, "WORKDIR": _workdir, "LABEL": _label,
    "SHELL": _shell, "HEALTHCHECK": _healthcheck,
}  # fmt: skip


def _placed(found: Instruction, stages: list[str]) -> Instruction:
    """Return an instruction whose image is no stage, and remember the stage it begins.

    Only stages that have ended count: the engine takes the name of the one that is being built
    for an image's.
    """
    if found.word == "FROM":
        base = found.image
        stage = found.rest.partition(" AS ")[2].lower()
        if stage and stage in (*stages, "scratch"):
            raise _denied(f"two stages are called {stage!r}", status=400)
        own = base.lower() in filter(None, stages) or base == "scratch"
        stages.append(stage)
        return replace(found, image="") if own else _named(found)
    if found.word == "COPY" and found.image:
        return _copied_from(found, stages[:-1])
    return found


def _copied_from(found: Instruction, ended: list[str]) -> Instruction:
    """Return a COPY from an ended stage by its number, which is never an image's name."""
    origin = found.image.lower()
    number = int(origin) if re.fullmatch(r"[0-9]{1,4}", origin) else -1
    if origin in filter(None, ended):
        number = ended.index(origin)
    if not 0 <= number < len(ended):
        return _named(found)
    flags = tuple(f"--from={number}" if f.startswith("--from=") else f for f in found.flags)
    return replace(found, image="", flags=flags)


def _named(found: Instruction) -> Instruction:
    names.check_image(found.image, field=f"Dockerfile: {found.word}")
    return found


def _denied(why: str, *, status: int = 403) -> Denied:
    return Denied(status, f"Dockerfile: {why}", rule=_MASTER)
