"""What the engine answers, as a tenant may see it: own objects, own names, nothing of the host."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from wherry.proxy.policy import images, names
from wherry.proxy.policy.model import NESTED, OURS, SHOWN_IMAGE, TenantView
from wherry.proxy.policy.routing import OLDEST

Document = dict[str, Any]
"""A JSON object of the engine's, whose shape depends on its version."""

_HOST_FILES = ("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "MountLabel")
_NETWORK_KEYS = (
    "Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6", "IPAM", "Internal",
    "Attachable", "Ingress", "ConfigFrom", "ConfigOnly", "Containers", "Options", "Labels",
)  # fmt: skip
_VOLUME_KEYS = ("CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope",
                "UsageData")  # fmt: skip
_IMAGE_HIDDEN = ("ContainerConfig", "Container", "GraphDriver", "Parent", "Manifests", "Identity")
_INFO_COPIED = (
    "OSType", "Architecture", "OperatingSystem", "OSVersion", "KernelVersion", "ServerVersion",
    "CgroupVersion", "MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares",
    "CPUSet", "PidsLimit", "OomKillDisable", "IPv4Forwarding", "DefaultRuntime", "Driver",
)  # fmt: skip
_VERSION_COPIED = ("Version", "GitCommit", "GoVersion", "Os", "Arch", "KernelVersion", "BuildTime")
_ID = re.compile(r"\b[0-9a-f]{12,64}\b")
_PATH = re.compile(r"/[^\s\"':,]*")
_ENGINES = re.compile(
    r"/(?:var/lib/docker|run/docker|run/containerd|var/run/docker)(?:/|$)|/[0-9a-f]{16,64}(?:/|$|[.-])"
)
"""What is in paths of the engine's: its usual places, or an id."""
_LONGEST_MESSAGE = 16 * 1024


def ping_headers(*, version: int) -> dict[str, str]:
    """Return the headers of ``/_ping``; ``version`` is the pinned minor number."""
    return {
        "Api-Version": f"1.{version}",
        "Builder-Version": "1",  # the classic one: BuildKit's API is the whole engine
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Swarm": "inactive",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
    }


def version(engine: Document, *, newest: int) -> Document:
    """Return ``/version`` with the versions that are understood here."""
    known = {key: engine[key] for key in _VERSION_COPIED if key in engine}
    versions = {"ApiVersion": f"1.{newest}", "MinAPIVersion": f"1.{OLDEST}"}
    details = {**{key: str(value) for key, value in known.items()}, **versions}
    details["Experimental"] = "false"
    component = {"Name": "Engine", "Version": known.get("Version", ""), "Details": details}
    return {**known, **versions, "Platform": {"Name": "wherry"}, "Components": [component]}


def info(engine: Document, tenant: TenantView, *, states: Iterable[str], image_count: int
         ) -> Document:  # fmt: skip
    """Return ``/info`` of an engine that has the tenant's objects only.

    ``states`` is the state of each of its containers: ``running``, ``paused``, ``exited``, …
    """
    known = list(states)
    limits = tenant.policy.limits
    running, paused = known.count("running"), known.count("paused")
    return {
        **{key: engine[key] for key in _INFO_COPIED if key in engine},
        "ID": f"wherry:{tenant.name}",
        "Name": tenant.name,
        "Containers": len(known),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(known) - running - paused,
        "Images": image_count,
        "NCPU": max(math.ceil(limits.cpus), 1),
        "MemTotal": limits.memory,
        "DriverStatus": [],
        "DockerRootDir": "",
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "null"], "Authorization": None,
                    "Log": ["json-file", "local"]},
        "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
        "IndexServerAddress": "https://index.docker.io/v1/",
        "Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False, "NodeID": "",
                  "NodeAddr": "", "Error": "", "RemoteManagers": None},
        "Runtimes": {},
        "LoggingDriver": "json-file",
        "CgroupDriver": "none",
        "SecurityOptions": [],
        "Labels": [],
        "Warnings": None,
        "Debug": False,
        "ExperimentalBuild": False,
        "LiveRestoreEnabled": False,
        "Isolation": "",
        "InitBinary": "",
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
    }  # fmt: skip


def labels(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return labels without ours."""
    return {
        key: value
        for key, value in (given or {}).items()
        if not key.startswith(OURS) or key == NESTED
    }


def container_summaries(items: Iterable[Document], tenant: TenantView) -> list[Document]:
    """Return the entries of ``/containers/json`` that are the tenant's."""
    return [container_summary(item, tenant) for item in items if item["Id"] in tenant.containers]


def container_summary(item: Document, tenant: TenantView) -> Document:
    """Return one entry of ``/containers/json``."""
    own = dict(item)
    own["Names"] = [names.plain(tenant.name, name) for name in item.get("Names") or ()
                    if name.count("/") <= 1]  # fmt: skip
    own["Image"] = (item.get("Labels") or {}).get(SHOWN_IMAGE, item.get("Image", ""))
    own["Labels"] = labels(item.get("Labels"))
    own["Mounts"] = _mounts(item.get("Mounts"), tenant)
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    own["HostConfig"] = {
        "NetworkMode": _mode(
            (item.get("HostConfig") or {}).get("NetworkMode", ""), networks, tenant
        )
    }
    own["NetworkSettings"] = {"Networks": _joined(networks, tenant)}
    return own


def container(item: Document, tenant: TenantView) -> Document:
    """Return ``/containers/{id}/json``: names and image restored, paths of the host emptied."""
    own = dict(item)
    config = dict(item.get("Config") or {})
    given = config.get("Labels") or {}
    config["Image"] = given.get(SHOWN_IMAGE, config.get("Image", ""))
    config["Labels"] = labels(given)
    own["Config"] = config
    own["Name"] = names.plain(tenant.name, item.get("Name", ""))
    own |= {key: "" for key in _HOST_FILES if key in item}
    if "GraphDriver" in item:
        own["GraphDriver"] = {"Name": (item["GraphDriver"] or {}).get("Name", ""), "Data": None}
    own.pop("Storage", None)
    own["State"] = {**(item.get("State") or {}), "Pid": 0}
    own["Mounts"] = _mounts(item.get("Mounts"), tenant)
    settings = dict(item.get("NetworkSettings") or {})
    networks = settings.get("Networks") or {}
    settings["Networks"] = _joined(networks, tenant)
    settings |= {"SandboxKey": "", "SandboxID": ""}
    own["NetworkSettings"] = settings
    own["HostConfig"] = _host_config(item.get("HostConfig") or {}, networks, tenant)
    return own


def network(item: Document, tenant: TenantView) -> Document:
    """Return a network; of its containers only the tenant's own."""
    own = {key: item[key] for key in _NETWORK_KEYS if key in item}
    own["Name"] = network_name(item.get("Name", ""), item.get("Id", ""), tenant=tenant)
    own["Labels"] = labels(item.get("Labels"))
    own["Containers"] = {
        id_: {**each, "Name": names.plain(tenant.name, each.get("Name", ""))}
        for id_, each in (item.get("Containers") or {}).items()
        if id_ in tenant.containers
    }
    return own


def network_name(name: str, id_: str, *, tenant: TenantView) -> str:
    """Return a network's name as the tenant knows it: its own one is the bridge."""
    return "bridge" if id_ and id_ == tenant.network else names.plain(tenant.name, name)


def volume(item: Document, tenant: TenantView) -> Document:
    """Return a volume, without where the engine keeps it."""
    own = {key: item[key] for key in _VOLUME_KEYS if key in item}
    own["Name"] = names.plain(tenant.name, item["Name"])
    return own | {"Mountpoint": "", "Labels": labels(item.get("Labels"))}


def image(item: Document, tenant: TenantView, *, pulled: Iterable[str] = ()) -> Document:
    """Return an image, listed or inspected, with the names of it that the tenant may know."""
    own = {key: value for key, value in item.items() if key not in _IMAGE_HIDDEN}
    known = set(pulled)
    own["RepoTags"] = images.visible_tags(item.get("RepoTags") or (), tenant, pulled=known)
    own["RepoDigests"] = images.visible_tags(item.get("RepoDigests") or (), tenant, pulled=known)
    if "ParentId" in item or "Parent" in item:
        key = "ParentId" if "ParentId" in item else "Parent"
        own[key] = item[key] if item[key] in tenant.images else ""
    if "Labels" in item:
        own["Labels"] = labels(item["Labels"])
    if isinstance(item.get("Config"), dict):
        own["Config"] = {**item["Config"], "Labels": labels(item["Config"].get("Labels"))}
    if "GraphDriver" in item:
        own["GraphDriver"] = {"Name": (item["GraphDriver"] or {}).get("Name", ""), "Data": None}
    if "Containers" in item:
        own["Containers"] = -1
    return own


def image_history(items: Iterable[Document], tenant: TenantView, *, image_id: str
                  ) -> list[Document]:  # fmt: skip
    """Return ``/images/{name}/history``, without the ids and names of foreign images."""
    return [
        {
            **item,
            "Id": item["Id"] if item["Id"] in {*tenant.images, image_id} else "<missing>",
            "Tags": images.visible_tags(item.get("Tags") or (), tenant) or None,
        }
        for item in items
    ]


def exec_(item: Document) -> Document:
    """Return ``/exec/{id}/json``, without the number of a process of the host."""
    return {**item, "Pid": 0}


def stats(item: Document, tenant: TenantView) -> Document:
    """Return one sample of ``/containers/{id}/stats``."""
    return {**item, "name": names.plain(tenant.name, item.get("name", ""))}


def up_to_date(shown: str) -> list[Document]:
    """Return the progress of a pull that was not needed: the engine has the image already."""
    return [{"status": f"Status: Image is up to date for {shown}"}]


def progress(value: Any, tenant: TenantView) -> Any:  # noqa: ANN401 - any JSON
    """Return an object of a build's or a pull's stream, with the tenant's names of its images."""
    if isinstance(value, str):
        return _plain_tags(value, tenant)
    if isinstance(value, list):
        return [progress(each, tenant) for each in value]
    if isinstance(value, dict):
        return {key: progress(each, tenant) for key, each in value.items()}
    return value


def message(text: str, tenant: TenantView) -> str:
    """Return an error of the engine's without foreign ids, prefixes and paths of the host."""
    text = _plain_tags(text[:_LONGEST_MESSAGE], tenant)
    text = re.sub(rf"(?<![A-Za-z0-9_.-]){re.escape(tenant.name)}\.(?=[A-Za-z0-9])", "", text)
    text = _PATH.sub(_hidden, text)
    own = {
        *tenant.containers,
        *tenant.networks,
        *(i.removeprefix("sha256:") for i in tenant.images),
    }

    def keep(match: re.Match[str]) -> str:
        return match[0] if any(id_.startswith(match[0]) for id_ in own) else "(another's id)"

    return _ID.sub(keep, text)


def _hidden(match: re.Match[str]) -> str:
    return "(a path of the host)" if _ENGINES.search(match[0]) else match[0]


def _plain_tags(text: str, tenant: TenantView) -> str:
    for prefix in ("docker.io/library/", "docker.io/", ""):
        text = text.replace(names.repository(tenant.name) + prefix, "")
    return text


def _mounts(items: Iterable[Document] | None, tenant: TenantView) -> list[Document]:
    found = []
    for item in items or ():
        source = str(item.get("Source", ""))
        if any(source == path or source.startswith(f"{path}/") for path in tenant.closed_paths):
            continue  # the socket of a nested tenant
        own = {**item, "Source": source if item.get("Type") == "bind" else ""}
        if item.get("Name"):
            own["Name"] = names.plain(tenant.name, item["Name"])
        found.append(own)
    return found


def _mode(mode: str, networks: Document, tenant: TenantView) -> str:
    if mode and mode == tenant.network:
        return "bridge"
    for name, each in networks.items():
        if (each or {}).get("NetworkID") == mode:
            return names.plain(tenant.name, name)
    return names.plain(tenant.name, mode)


def _joined(networks: Document, tenant: TenantView) -> Document:
    return {
        network_name(name, (each or {}).get("NetworkID", ""), tenant=tenant): each
        for name, each in networks.items()
    }


def _host_config(given: Document, networks: Document, tenant: TenantView) -> Document:
    own = dict(given)
    own["CgroupParent"] = ""
    own["NetworkMode"] = _mode(given.get("NetworkMode", ""), networks, tenant)
    mounts = []
    for mount in given.get("Mounts") or ():
        source = str(mount.get("Source", ""))
        if any(source == path or source.startswith(f"{path}/") for path in tenant.closed_paths):
            continue
        kept = {**mount, "Source": names.plain(tenant.name, source)} if source else dict(mount)
        if isinstance(kept.get("VolumeOptions"), dict):
            options = dict(kept["VolumeOptions"])
            if "Labels" in options:
                options["Labels"] = labels(options["Labels"])
            kept["VolumeOptions"] = options
        mounts.append(kept)
    if "Mounts" in given:
        own["Mounts"] = mounts
    return own
