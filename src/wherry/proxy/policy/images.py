"""Requests about images: which may be pulled, which are seen, and whose a tag is (2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.images.reference import Reference
from wherry.proxy.policy import names, patterns, queries
from wherry.proxy.policy.model import Denied, FoundImage, Kind, Named, Policy, TenantView

if TYPE_CHECKING:
    from wherry.proxy.policy.routing import Query, Route

_ANY_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImagePull:
    """An image that a tenant may pull."""

    reference: Reference
    platform: str = ""

    @property
    def text(self) -> str:
        """The image as clients name it."""
        return self.reference.familiar

    def render(self) -> dict[str, str]:
        """Return the query of ``POST /images/create``.

        The engine moves the tag; where it has the image already and the tag is not the tenant's,
        the caller answers by itself (:func:`wherry.proxy.policy.answers.up_to_date`).
        """
        reference = self.reference
        name = f"{reference.registry}/{reference.repository}"
        query = {"fromImage": name, "tag": reference.digest or reference.tag or "latest"}
        return query | ({"platform": self.platform} if self.platform else {})


@dataclass(frozen=True, slots=True)
class ImageTag:
    """A new name for an image that the tenant sees."""

    source: Named
    target: str
    """The engine's name: in the tenant's own name space."""
    shown: str
    """The tenant's name."""

    def render(self) -> dict[str, str]:
        """Return the query of ``POST /images/{id}/tag``."""
        repo, _, tag = self.target.rpartition(":")
        return {"repo": repo, "tag": tag}


def parse_pull(query: Query, policy: Policy) -> ImagePull:
    """Read ``POST /images/create``; raises :class:`Denied` unless the policy allows the image."""
    if any(query.all("fromSrc")):
        raise Denied(403, "fromSrc: images cannot be imported: the engine would fetch any address "
                     "and move any tag; build or pull one", rule="2.2 fromSrc")  # fmt: skip
    text = query.one("fromImage")
    if not text:
        raise Denied(400, "fromImage: name an image", rule="2.2 fromImage")
    reference = _joined(text, query.one("tag"))
    platform = queries.check_platform(query.one("platform"), field="platform")
    if not patterns.allows(policy.pull, reference):
        allowed = ", ".join(policy.pull) or "none; the operator names them in the policy's `pull`"
        raise Denied(403, f"fromImage: {reference.familiar} may not be pulled; allowed: {allowed}",
                     rule="2.2 pull")  # fmt: skip
    return ImagePull(reference, platform)


def parse_tag(route: Route, tenant: TenantView) -> ImageTag:
    """Read ``POST /images/{name}/tag``; raises :class:`Denied`."""
    text = with_tag(route.query.one("repo"), route.query.one("tag"))
    target = names.scoped_image(tenant.name, text, field="repo")
    shown = names.plain_image(tenant.name, target) or text
    return ImageTag(Named(Kind.IMAGE, route.name, "name"), target, shown)


def saved(query: Query) -> tuple[Named, ...]:
    """Return every image of ``GET /images/get``; raises :class:`Denied`."""
    given = tuple(part for value in query.all("names") for part in value.split(",") if part)
    if not given:
        raise Denied(400, "names: name at least one image", rule="2.2 get")
    for text in given:
        if not names.is_image(text):
            raise Denied(400, f"names: {text[:80]!r} is no image", rule="2.2 get")
    return tuple(Named(Kind.IMAGE, text, "names") for text in given)


def is_public(tags: Iterable[str], policy: Policy) -> bool:
    """Whether an image of the engine with these names is one that the tenant sees anyway."""
    return any(patterns.allows(policy.images, found) for found in _readable(tags))


def visible_tags(tags: Iterable[str], tenant: TenantView, *, pulled: Iterable[str] = ()
                 ) -> list[str]:  # fmt: skip
    """Return an image's names as the tenant sees them: its own, and those that are public.

    ``pulled`` holds further names of the engine that the tenant pulled.
    """
    found, known = [], set(pulled)
    for tag in tags:
        if own := names.plain_image(tenant.name, tag):
            found.append(own)
        elif tag in known or is_public((tag,), tenant.policy):
            found.append(tag)
    return list(dict.fromkeys(found))


def candidates(text: str, tenant: TenantView) -> tuple[str, ...]:
    """Return what an image may be called on the engine, in the order to try.

    An id is itself; a name is the tenant's own first, and then a public one. Raises
    :class:`Denied` for what is no image.
    """
    if is_id(text):
        return (text,)
    reference = names.check_image(text, field="image")
    if reference.digest:
        return (reference.familiar,)
    return (names.scoped_image(tenant.name, text, field="image"), reference.familiar)


def is_id(text: str) -> bool:
    """Whether a text names an image by (part of) its id."""
    return _ANY_ID.fullmatch(text) is not None


def check_removal(text: str, tags: Iterable[str], *, tenant: TenantView) -> tuple[str, ...]:
    """Return the engine's tags to remove, one by one and without force; raises :class:`Denied`.

    ``tags`` are the ``RepoTags`` of the image that ``text`` was found to be. A name is removed if
    it is the tenant's own; by id, all must be.
    """
    if not is_id(text):
        reference = names.check_image(text, field="name")
        if reference.digest:
            raise Denied(409, f"{text}: name a tag of your own to remove", rule="2.2 image.remove")
        own = names.scoped_image(tenant.name, text, field="name")
        if own not in tags:
            raise Denied(409, f"{text}: is shared with others and stays; only tags of your own can "
                         "be removed", rule="2.2 image.remove")  # fmt: skip
        return (own,)
    foreign = [tag for tag in tags if names.plain_image(tenant.name, tag) is None]
    if foreign:
        raise Denied(409, f"{text}: the image is used by others, too; remove your tags by name",
                     rule="2.2 image.remove")  # fmt: skip
    return tuple(tags)


def check_base(image: FoundImage, *, field: str) -> None:
    """Raise :class:`Denied` for a base image whose ``ONBUILD`` would add to the build unseen."""
    if image.on_build:
        raise Denied(403, f"{field}: the image has ONBUILD instructions, which are not checked; "
                     "choose another", rule="2.6 ONBUILD")  # fmt: skip


def _joined(text: str, tag: str) -> Reference:
    if tag.startswith("sha256:"):
        return names.check_image(f"{text.partition('@')[0]}@{tag}", field="tag")
    # A tag in the name loses against one of its own, as with the engine.
    return names.check_image(_without_tag(text) + f":{tag}" if tag else text, field="fromImage")


def with_tag(repo: str, tag: str) -> str:
    """Return the two parts of a new name as one; raises :class:`Denied`."""
    if not repo:
        raise Denied(400, "repo: name a repository", rule="2.2 tag")
    if tag and _without_tag(repo) != repo:
        raise Denied(400, f"repo: {repo!r} has a tag already", rule="2.2 tag")
    return f"{repo}:{tag}" if tag else repo


def _without_tag(text: str) -> str:
    head, slash, last = text.partition("@")[0].rpartition("/")
    return head + slash + last.partition(":")[0]


def _readable(tags: Iterable[str]) -> Iterable[Reference]:
    for tag in tags:
        if names.is_image(tag) and not is_id(tag):
            yield Reference.parse(tag)
