"""What may ever reach the engine in the body of a create, written down a second time.

Nothing here is imported from the policy: the property tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_HEX = re.compile(r"[0-9a-f]{64}")
_CONFIG = {
    "Image", "Cmd", "Entrypoint", "Env", "User", "Tty", "OpenStdin", "StdinOnce", "AttachStdin",
    "AttachStdout", "AttachStderr", "Hostname", "Domainname", "ExposedPorts", "Shell",
    "ArgsEscaped", "WorkingDir", "Labels", "Volumes", "Healthcheck", "StopSignal", "StopTimeout",
    "NetworkDisabled", "HostConfig", "NetworkingConfig",
}  # fmt: skip
_HOST = {
    "Privileged", "CgroupnsMode", "IpcMode", "NetworkMode", "LogConfig", "ShmSize", "Memory",
    "MemorySwap", "MemoryReservation", "NanoCpus", "CpuShares", "CpusetCpus", "PidsLimit",
    "Ulimits", "CapAdd", "CapDrop", "SecurityOpt", "PidMode", "GroupAdd", "OomScoreAdj", "Mounts",
    "Tmpfs", "VolumesFrom", "RestartPolicy", "CgroupParent", "StorageOpt", "AutoRemove",
    "ReadonlyRootfs", "Init", "ConsoleSize", "Dns", "DnsSearch", "DnsOptions", "ExtraHosts",
}  # fmt: skip
_ENDPOINT = {"Aliases", "IPAMConfig", "Links"}


@dataclass(frozen=True)
class Allowed:
    """What one tenant may have."""

    tenant: str
    network: str
    cgroup: str
    containers: set[str] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    memory: int = 0
    nano_cpus: int = 0
    pids: int = 0
    shm: int = 0
    tmpfs: int = 0

    def violations(self, body: dict[str, Any]) -> Iterator[str]:
        """Yield what of a body may not be."""
        yield from (f"unknown {key}" for key in body.keys() - _CONFIG)
        host = body.get("HostConfig")
        if not isinstance(host, dict) or not host:
            yield "no HostConfig"
            return
        yield from (f"unknown HostConfig.{key}" for key in host.keys() - _HOST)
        if body["Image"] not in self.images:
            yield f"Image {body['Image']}"
        if re.match(r"/+(\./+)*(proc|sys|dev)(/|$)", body.get("WorkingDir", "")):
            yield f"WorkingDir {body['WorkingDir']}"
        yield from self._labels(body.get("Labels", {}))
        if body["Labels"].get("wherry.proxy.tenant") != self.tenant:
            yield "not labelled as the tenant's"
        yield from self._namespaces(host)
        yield from self._rights(host)
        yield from self._resources(host)
        yield from self._files(host)
        yield from self._networks(body, host)
        yield from self._health(body.get("Healthcheck"))

    def _labels(self, labels: dict[str, str]) -> Iterator[str]:
        ours = {"wherry.proxy.tenant", "wherry.proxy.image"}
        bad = ("wherry.", "com.docker.", "traefik.", "ofelia.", "com.sockguard.", "swarm.cronjob",
               "socket-proxy.allow", "com.centurylinklabs.watchtower")  # fmt: skip
        for key, value in labels.items():
            if key not in ours and key.lower().startswith(bad) and value:
                yield f"label {key}"

    def _namespaces(self, host: dict[str, Any]) -> Iterator[str]:
        if host.get("Privileged") is not False:
            yield "Privileged"
        if host.get("CgroupnsMode") != "private":
            yield "CgroupnsMode"
        if host.get("CgroupParent") != self.cgroup:
            yield "CgroupParent"
        for key, plain in (("PidMode", {"", None}), ("IpcMode", {"private", "shareable", "none"})):
            mode = host.get(key)
            if mode in plain:
                continue
            if not str(mode).startswith("container:") or str(mode)[10:] not in self.containers:
                yield f"{key} {mode}"
        mode = str(host.get("NetworkMode"))
        own = mode in {"none", self.network} | self.networks
        if not own and not (mode.startswith("container:") and mode[10:] in self.containers):
            yield f"NetworkMode {mode}"

    def _rights(self, host: dict[str, Any]) -> Iterator[str]:
        if host.get("CapAdd") or host.get("GroupAdd"):
            yield "CapAdd or GroupAdd"
        if not {"ALL", "NET_RAW"} & set(host.get("CapDrop", ())):
            yield "NET_RAW is kept"
        if host.get("SecurityOpt") != ["no-new-privileges"]:
            yield "SecurityOpt"
        if not 0 <= host.get("OomScoreAdj", 0) <= 1000:
            yield "OomScoreAdj"
        if host["RestartPolicy"] != {"Name": "no"} and not (
            host["RestartPolicy"]["Name"] == "on-failure"
            and 0 < host["RestartPolicy"]["MaximumRetryCount"] <= 5
        ):
            yield "RestartPolicy"
        if any("gateway" in text for text in host.get("ExtraHosts", ())):
            yield "ExtraHosts"
        logs = host["LogConfig"]
        if logs["Type"] not in ("json-file", "local", "none"):
            yield "LogConfig"
        if logs["Type"] != "none" and set(logs["Config"]) != {"max-size", "max-file"}:
            yield "LogConfig.Config"

    def _resources(self, host: dict[str, Any]) -> Iterator[str]:
        for key, most in (("Memory", self.memory), ("NanoCpus", self.nano_cpus),
                          ("PidsLimit", self.pids), ("ShmSize", self.shm)):  # fmt: skip
            if type(host.get(key)) is not int or not 0 < host[key] <= most:
                yield f"{key} {host.get(key)}"
        if host["MemorySwap"] != host["Memory"]:
            yield "MemorySwap"
        if not 0 <= host.get("CpuShares", 0) <= 1024:
            yield "CpuShares"
        core = [each for each in host["Ulimits"] if each["Name"] == "core"]
        if core != [{"Name": "core", "Soft": 0, "Hard": 0}]:
            yield "core"
        if set(host.get("StorageOpt", ())) - {"size"}:
            yield "StorageOpt"

    def _files(self, host: dict[str, Any]) -> Iterator[str]:
        for mount in host.get("Mounts", ()):
            kind = mount["Type"]
            source = mount.get("Source")
            known: dict[str, set[str | None]] = {
                "volume": {None, *self.volumes},
                "tmpfs": {None},
                "image": {*self.images},
            }
            if kind not in known or source not in known[kind]:
                yield f"mount {mount}"
            yield from self._options(mount)
            if not mount["Target"].startswith("/") or ".." in mount["Target"].split("/"):
                yield f"target {mount}"
        for path, options in host.get("Tmpfs", {}).items():
            size = re.search(r"size=(\d+)$", options)
            if not size or int(size[1]) > self.tmpfs or re.search(r"\b(suid|dev)\b", options):
                yield f"tmpfs {path} {options}"
        for text in host.get("VolumesFrom", ()):
            if text.partition(":")[0] not in self.containers:
                yield f"VolumesFrom {text}"

    def _options(self, mount: dict[str, Any]) -> Iterator[str]:
        known = {"Type", "Target", "Source", "ReadOnly", "VolumeOptions", "TmpfsOptions",
                 "ImageOptions"}  # fmt: skip
        if mount.keys() - known:
            yield f"mount {mount}"
        volume = mount.get("VolumeOptions", {})
        if volume.keys() - {"NoCopy", "Labels", "Subpath"}:
            yield f"volume options {volume}"
        yield from self._labels(
            {k: v for k, v in volume.get("Labels", {}).items() if k != "wherry.proxy.tenant"}
        )
        for options in (volume, mount.get("ImageOptions", {})):
            path = options.get("Subpath", "")
            if path.startswith("/") or ".." in path.split("/"):
                yield f"subpath {path}"
        tmpfs = mount.get("TmpfsOptions", {"SizeBytes": 1})
        if tmpfs.keys() - {"SizeBytes", "Mode"} or not 0 < tmpfs["SizeBytes"] <= self.tmpfs:
            yield f"tmpfs options {tmpfs}"

    def _networks(self, body: dict[str, Any], host: dict[str, Any]) -> Iterator[str]:
        config = body["NetworkingConfig"]
        if set(config) != {"EndpointsConfig"}:
            yield "NetworkingConfig"
        for name, endpoint in config["EndpointsConfig"].items():
            if name not in self.networks | {self.network}:
                yield f"network {name}"
            if endpoint.keys() - _ENDPOINT:
                yield f"endpoint {endpoint}"
            if endpoint.get("IPAMConfig", {}).keys() - {"IPv4Address", "IPv6Address"}:
                yield f"addresses {endpoint}"
            for link in endpoint.get("Links", ()):
                if link.partition(":")[0] not in self.containers:
                    yield f"link {link}"

    def _health(self, health: dict[str, Any] | None) -> Iterator[str]:
        for key in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
            if 0 < (health or {}).get(key, 0) < 10**9:
                yield f"Healthcheck.{key}"
