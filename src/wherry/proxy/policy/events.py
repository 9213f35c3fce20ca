"""The engine's events, one by one: a tenant's own are rewritten, all others dropped (F12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.proxy.policy import names
from wherry.proxy.policy.model import OURS, SHOWN_IMAGE

if TYPE_CHECKING:
    from wherry.proxy.policy.answers import Document
    from wherry.proxy.policy.model import TenantView


def event(item: Document, tenant: TenantView) -> Document | None:
    """Return an event as the tenant sees it; None when it is another's.

    Who it is about is decided by the full id of its actor, and of the container that a network's
    or volume's event names. What cannot be told to be the tenant's is dropped.
    """
    actor = item.get("Actor")
    if not isinstance(actor, dict) or str(item.get("Action", "")).startswith("prune"):
        return None
    attributes = actor.get("Attributes") or {}
    id_ = str(actor.get("ID", ""))
    check = {"container": _container, "network": _network, "volume": _volume, "image": _image}
    kind = str(item.get("Type", ""))
    if kind not in check:
        return None
    shown = check[kind](id_, attributes, tenant)
    if shown is None:
        return None
    return _rewritten(item, shown, attributes, tenant)


def _rewritten(item: Document, shown: str, attributes: Document, tenant: TenantView) -> Document:
    kept = {key: value for key, value in attributes.items() if not key.startswith(OURS)}
    if image := attributes.get(SHOWN_IMAGE):
        kept["image"] = image
    if "name" in kept:
        kept["name"] = _plain_name(str(kept["name"]), tenant)
    own: Document = {**item, "Actor": {"ID": shown, "Attributes": kept}}
    if "id" in own:
        own["id"] = shown
    if "from" in own and "image" in kept:
        own["from"] = kept["image"]
    return own


def _plain_name(name: str, tenant: TenantView) -> str:
    return names.plain_image(tenant.name, name) or names.plain(tenant.name, name)


def _container(id_: str, attributes: Document, tenant: TenantView) -> str | None:
    return id_ if id_ in tenant.containers else None


def _network(id_: str, attributes: Document, tenant: TenantView) -> str | None:
    if id_ not in tenant.networks and id_ != tenant.network:
        return None
    return id_ if _own_container(attributes, tenant) else None


def _volume(id_: str, attributes: Document, tenant: TenantView) -> str | None:
    if id_ not in tenant.volumes or not _own_container(attributes, tenant):
        return None
    return names.plain(tenant.name, id_)


def _image(id_: str, attributes: Document, tenant: TenantView) -> str | None:
    name = names.plain_image(tenant.name, str(attributes.get("name", "")))
    own = names.plain_image(tenant.name, id_)
    if own or (id_ in tenant.images and name):
        return own or id_
    return id_ if id_ in tenant.images and not attributes.get("name") else None


def _own_container(attributes: Document, tenant: TenantView) -> bool:
    container = attributes.get("container")
    return container is None or container in tenant.containers
