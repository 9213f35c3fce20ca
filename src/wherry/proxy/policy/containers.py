"""Bodies of container requests: create and update (2.3, 2.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.proxy.policy import config, endpoints, hostconfig, labels, names, resources, strict_json
from wherry.proxy.policy.endpoints import Endpoint
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.model import (
    OWNER,
    SHOWN_IMAGE,
    Amounts,
    Denied,
    Found,
    FoundImage,
    Injection,
    Kind,
    Named,
    Policy,
    TenantView,
)  # fmt: skip
from wherry.proxy.policy.paths import check_working_dir
from wherry.proxy.policy.volumes import VolumeCreate

if TYPE_CHECKING:
    from wherry.proxy.policy.config import Config
    from wherry.proxy.policy.hostconfig import HostConfig
    from wherry.proxy.policy.resources import Resources

_SECTION = "2.3"


@dataclass(frozen=True, slots=True)
class ContainerCreate:
    """A container that a tenant wants."""

    image: str
    """As the tenant wrote it."""
    config: Config
    host: HostConfig
    endpoints: Mapping[str, Endpoint]
    """Networks besides the default one, by their names in the request."""
    default: Endpoint
    """Its place in the tenant's own network."""

    @property
    def references(self) -> tuple[Named, ...]:
        """All that has to be looked up: own, or 404."""
        return tuple(dict.fromkeys(self._references()))

    def _references(self) -> Iterator[Named]:
        yield Named(Kind.IMAGE, self.image, "Image")
        yield from self.host.references
        for name, endpoint in self.endpoints.items():
            yield Named(Kind.NETWORK, name, "NetworkingConfig.EndpointsConfig")
            yield from endpoint.references
        yield from self.default.references

    @property
    def volumes(self) -> tuple[VolumeCreate, ...]:
        """Named volumes that it mounts: to be made first where they are missing."""
        found = {
            mount.source: VolumeCreate(mount.source, labels=mount.labels)
            for mount in self.host.files.mounts
            if mount.type == "volume" and mount.source
        }
        return tuple(found.values())

    @property
    def nested(self) -> str | None:
        """What it asks for as a socket of its own; None when it asks for none."""
        return self.config.nested

    @property
    def amounts(self) -> Amounts:
        """What the ledger has to reserve."""
        return self.host.resources.amounts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was changed, for ``Warnings`` of the answer."""
        return self.host.resources.warnings + self.config.warnings

    def render(
        self, found: Found, tenant: TenantView, *, name: str = "",
        owner: Mapping[str, str] | None = None, injection: Injection | None = None,
    ) -> dict[str, object]:  # fmt: skip
        """Return the new body.

        ``name`` is the plain name, which becomes an alias in its networks; ``owner`` holds the
        registry's labels; ``injection`` is the socket of a nested tenant. Raises :class:`Denied`
        when the image itself asks for what may not be.
        """
        image = found.images[self.image]
        _check_image(image, self.config, tenant.policy)
        body = self.config.render()
        if health := config.check_image_health(self.config.healthcheck, image):
            body["Healthcheck"] = health.render()
        body["Image"] = image.id
        body["Volumes"] = {path: {} for path in (*self.config.volumes, *self.host.files.anonymous)}
        body["Labels"] = {
            **labels.neutral(image.labels, tenant.policy),
            **self.config.labels,
            **(owner or {}),
            OWNER: tenant.name,
            SHOWN_IMAGE: self.image,
        }
        body["HostConfig"] = self.host.render(found, tenant)
        body["NetworkingConfig"] = {"EndpointsConfig": self._joins(found, tenant, alias=name)}
        if injection:
            _inject(body, injection)
        return body

    def _joins(self, found: Found, tenant: TenantView, *, alias: str) -> dict[str, object]:
        mode = self.host.mode(found, tenant)
        if mode == "none" or mode.startswith("container:"):
            return {}
        joined: dict[str, object] = {
            found.networks[name]: endpoint.render(found, alias=alias)
            for name, endpoint in self.endpoints.items()
        }
        own = self.default.render(found, alias=alias)
        return joined if mode in joined else {mode: own, **joined}


def parse_create(body: bytes, policy: Policy) -> ContainerCreate:
    """Read the body of ``POST /containers/create``; raises :class:`Denied`."""
    fields = Fields(strict_json.parse_object(body), section=_SECTION)
    image = fields.text("Image")
    if not names.is_image(image):
        raise fields.denied("Image", f"{image!r} is no image; name one, such as busybox:latest",
                            status=400)  # fmt: skip
    parsed = config.parse(fields, policy)
    joins = _endpoints(fields.child("NetworkingConfig"))
    host = hostconfig.parse(fields.child("HostConfig"), policy)
    fields.empty("Runtime", why="belongs into HostConfig")
    fields.done()
    return _assemble(image, parsed, host, joins)


def _assemble(
    image: str, parsed: Config, host: HostConfig, joins: dict[str, Endpoint]
) -> ContainerCreate:
    own = [joins.pop(name) for name in list(joins) if hostconfig.is_default_network(name)]
    joins.pop("none", None)
    alone = host.network == "none" or host.network.startswith("container:")
    if alone and joins:
        raise Denied(400, "NetworkingConfig: a container without a network of its own joins none",
                     rule="2.3 NetworkingConfig")  # fmt: skip
    if not host.network and not own and joins:
        # Without a NetworkMode the engine joins what is named here, and not the default bridge.
        host = _with_network(host, next(iter(joins)))
    return ContainerCreate(image, parsed, host, joins, own[0] if own else Endpoint())


def _with_network(host: HostConfig, network: str) -> HostConfig:
    from dataclasses import replace

    return replace(host, network=network)


def _endpoints(fields: Fields) -> dict[str, Endpoint]:
    found = {}
    for name, each in fields.named_children("EndpointsConfig").items():
        if name == "host":
            fields.refuse("EndpointsConfig", "'host' is the host's network")
        if name and not names.is_name(name):
            raise fields.denied("EndpointsConfig", f"{name!r} is no network", status=400)
        found[name] = endpoints.parse(each)
    fields.done()
    return found


def _check_image(image: FoundImage, given: Config, policy: Policy) -> None:
    if not given.working_dir and image.working_dir:
        check_working_dir(f"/{image.working_dir}",
                          field="Image's WorkingDir", rule="2.3 WorkingDir")  # fmt: skip
    if why := config.check_image_user(given.user, image, policy=policy):
        raise Denied(403, f"User: {why}", rule="2.3 User")


def _inject(body: dict[str, object], injection: Injection) -> None:
    host, env = body["HostConfig"], body.get("Env", [])
    assert isinstance(host, dict)
    assert isinstance(env, list)
    mount = {"Type": "bind", "Source": injection.source, "Target": injection.target,
             "ReadOnly": True, "BindOptions": {"Propagation": "rprivate"}}  # fmt: skip
    host["Mounts"] = [*host.get("Mounts", []), mount]
    body["Env"] = [*env, *injection.env]


@dataclass(frozen=True, slots=True)
class ContainerUpdate:
    """Other limits for a container that runs."""

    resources: Resources
    restarts: int | None = None
    """None leaves it."""

    @property
    def amounts(self) -> Amounts:
        """What it is to have from now on; 0 is what it had."""
        return self.resources.amounts

    def render(self) -> dict[str, object]:
        """Return the new body."""
        body = self.resources.render()
        if self.restarts is not None:
            body["RestartPolicy"] = hostconfig.restart_policy(self.restarts)
        return body


def parse_update(body: bytes, policy: Policy) -> ContainerUpdate:
    """Read the body of ``POST /containers/{id}/update``; raises :class:`Denied`."""
    fields = Fields(strict_json.parse_object(body), section="2.5")
    found = resources.parse(fields, policy.limits, update=True)
    fields.empty("CgroupParent", why="is the tenant's; leave it out")
    fields.empty("DeviceRequests", why="devices cannot be added; leave it out")
    policy_given = fields.child("RestartPolicy")
    given = policy_given.has("Name") and policy_given.text("Name") != ""
    restarts = hostconfig.parse_restarts(policy_given, policy.limits)
    fields.done()
    return ContainerUpdate(found, restarts if given else None)
