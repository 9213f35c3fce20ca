"""Image references, resolved as Docker resolves them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wherry.errors import Unsupported, UsageError

DOCKER_HUB = "docker.io"
_HUB_API = "registry-1.docker.io"
_HUB_OTHER_NAMES = frozenset({"index.docker.io"})
_OFFICIAL = "library/"
_NAME_BYTES = 255

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\])(?::[0-9]{{1,5}})?", re.ASCII)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_BARE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """The full name of an image: where it is, what it is called, and which one of that name.

    The grammar is that of the OCI distribution spec (``name``, ``reference``) with Docker's
    short forms: no registry is Docker Hub, no tag and no digest is the tag ``latest``.
    """

    registry: str
    """Host, with its port when one was given: ``docker.io``, ``localhost:5000``, ``[::1]:5000``."""
    repository: str
    tag: str | None = None
    digest: str | None = None
    """``sha256:…``; decides over the tag when both are there."""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as a user writes it; raises UsageError saying what is wrong with it."""
        rest, at, digest = text.partition("@")
        name, tag = _split_tag(rest)
        registry, repository = _split_registry(name)
        _check_name(registry, repository, text=text)
        if tag is not None and not _TAG.fullmatch(tag):
            raise UsageError(
                f"image {text!r}: the tag {tag!r} is not valid; a tag is up to 128 letters, "
                "digits, '_', '.' and '-', and starts with no '.' or '-'"
            )
        if at:
            check_digest(digest, where=f"image {text!r}")
        if tag is None and not at:
            tag = "latest"
        return cls(registry, repository, tag, digest if at else None)

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}{self._suffix}"

    @property
    def familiar(self) -> str:
        """The shortest name that means the same: ``busybox:latest``, ``ghcr.io/me/x:1``."""
        if self.registry != DOCKER_HUB:
            return str(self)
        short = self.repository.removeprefix(_OFFICIAL)
        for name in (short, self.repository):
            if _split_registry(name) == (self.registry, self.repository):
                return name + self._suffix
        return str(self)

    @property
    def api_host(self) -> str:
        """Host and port where the registry answers."""
        return _HUB_API if self.registry == DOCKER_HUB else self.registry

    def with_digest(self, digest: str) -> Reference:
        """Return the same name pinned to a digest, without its tag."""
        return Reference(self.registry, self.repository, None, digest)

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def check_digest(digest: str, *, where: str) -> str:
    """Return the digest when it is a well-formed sha256; raises UsageError, or Unsupported."""
    if _DIGEST.fullmatch(digest):
        return digest
    if digest.startswith("sha512:"):
        raise Unsupported(f"{where}: the digest is a sha512; only sha256 digests can be verified")
    raise UsageError(f"{where}: {digest!r} is no digest; it is sha256: and 64 of 0-9 and a-f")


def _split_tag(text: str) -> tuple[str, str | None]:
    """Split off what follows a colon in the last component (a port stands before a slash)."""
    head, slash, last = text.rpartition("/")
    name, colon, tag = last.partition(":")
    return head + slash + name, tag if colon else None


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash:
        return DOCKER_HUB, _OFFICIAL + name
    if first != "localhost" and "." not in first and ":" not in first:
        return DOCKER_HUB, name
    registry = first.lower()
    if registry in _HUB_OTHER_NAMES:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in rest:
        rest = _OFFICIAL + rest
    return registry, rest


def _check_name(registry: str, repository: str, *, text: str) -> None:
    if not text:
        raise UsageError("image: the name is empty; give one such as 'busybox' or 'user/name:tag'")
    if not _HOST.fullmatch(registry):
        raise UsageError(f"image {text!r}: {registry!r} is not a registry's host[:port]")
    short = repository.removeprefix(_OFFICIAL) if registry == DOCKER_HUB else repository
    if _BARE_ID.fullmatch(short):
        raise UsageError(f"image {text!r}: 64 hexadecimal digits are an id and cannot be a name")
    if len(repository) > _NAME_BYTES:
        raise UsageError(f"image {text!r}: the name has more than {_NAME_BYTES} characters")
    if all(_COMPONENT.fullmatch(part) for part in repository.split("/")):
        return
    lower = short.lower()
    if lower != short and all(_COMPONENT.fullmatch(part) for part in lower.split("/")):
        raise UsageError(f"image {text!r}: names are lower-case; did you mean {lower!r}?")
    raise UsageError(
        f"image {text!r}: {short!r} is not a valid name; it is made of a-z and 0-9, "
        "with single '.', '_', '__' or dashes between them, and '/' between parts"
    )
