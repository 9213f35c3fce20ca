"""``POST /commit``: an image of one of the tenant's own containers (2.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wherry.proxy.policy import config, dockerfile, images, names, queries, strict_json
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.model import OWNER, Denied, Found, Kind, Named, Policy, TenantView

if TYPE_CHECKING:
    from wherry.proxy.policy.routing import Query

_TEXT = re.compile(r"[ -~]{0,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Commit:
    """An image that is to be made of a container."""

    container: Named
    tag: str = ""
    """The engine's name for it; empty for none."""
    copied: dict[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    body: dict[str, object] = field(default_factory=dict)

    def query(self, found: Found) -> dict[str, str | tuple[str, ...]]:
        """Return the new query."""
        query: dict[str, str | tuple[str, ...]] = {
            "container": found.containers[self.container.text], **self.copied
        }  # fmt: skip
        if self.tag:
            query["repo"], _, query["tag"] = self.tag.rpartition(":")
        if self.changes:
            query["changes"] = self.changes
        return query

    def render(self, tenant: TenantView) -> dict[str, object]:
        """Return the new body."""
        labels = self.body.get("Labels", {})
        assert isinstance(labels, dict)
        return {**self.body, "Labels": {**labels, OWNER: tenant.name}}


def parse(query: Query, body: bytes, *, tenant: TenantView) -> Commit:
    """Read the query and the body; raises :class:`Denied`."""
    container = query.one("container")
    if not names.is_name(container):
        raise Denied(404, f"No such container: {container}", rule="G3")
    tag = ""
    if query.one("repo"):
        text = images.with_tag(query.one("repo"), query.one("tag"))
        tag = names.scoped_image(tenant.name, text, field="repo")
    copied = {}
    for key in ("comment", "author"):
        if text := query.one(key):
            if not _TEXT.fullmatch(text):
                raise Denied(400, f"{key}: must be one line of ASCII", rule="2.2 commit")
            copied[key] = text
    copied["pause"] = "1" if queries.truth(query, "pause", default=True) else "0"
    changes = tuple(_change(text, tenant.policy) for text in query.all("changes") if text)
    fields = Fields(strict_json.parse_object(body, optional=True), section="2.2 commit")
    fields.text("Image")
    given = config.parse(fields, tenant.policy)
    fields.done()
    labels: dict[str, object] = {"Labels": given.labels} if given.labels else {}
    named = Named(Kind.CONTAINER, container, "container")
    return Commit(named, tag, copied, changes, {**given.render(), **labels})


def _change(text: str, policy: Policy) -> str:
    """Return an instruction that changes the image; raises :class:`Denied` for all but a few."""
    found = dockerfile.read(text, policy=policy)
    if len(found) != 1 or found[0].word not in dockerfile.CHANGES:
        raise Denied(403, f"changes: {text[:80]!r} must be one of {', '.join(dockerfile.CHANGES)}",
                     rule="2.2 changes")  # fmt: skip
    return found[0].text
