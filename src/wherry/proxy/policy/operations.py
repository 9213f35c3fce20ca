"""Every endpoint of the Engine API that has a verdict, and how its path is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Operation(Enum):
    """One endpoint of the contract's table; the value is its name in the audit log."""

    PING = "ping"
    VERSION = "version"
    INFO = "info"
    EVENTS = "events"
    DISK_USAGE = "system.df"
    AUTH = "auth"
    DEBUG = "debug"
    METRICS = "metrics"
    CONTAINER_LIST = "container.list"
    CONTAINER_CREATE = "container.create"
    CONTAINER_INSPECT = "container.inspect"
    CONTAINER_TOP = "container.top"
    CONTAINER_LOGS = "container.logs"
    CONTAINER_CHANGES = "container.changes"
    CONTAINER_STATS = "container.stats"
    CONTAINER_EXPORT = "container.export"
    CONTAINER_START = "container.start"
    CONTAINER_STOP = "container.stop"
    CONTAINER_RESTART = "container.restart"
    CONTAINER_KILL = "container.kill"
    CONTAINER_UPDATE = "container.update"
    CONTAINER_RENAME = "container.rename"
    CONTAINER_PAUSE = "container.pause"
    CONTAINER_UNPAUSE = "container.unpause"
    CONTAINER_WAIT = "container.wait"
    CONTAINER_RESIZE = "container.resize"
    CONTAINER_ATTACH = "container.attach"
    CONTAINER_ATTACH_WS = "container.attach.ws"
    ARCHIVE_STAT = "container.archive.stat"
    ARCHIVE_GET = "container.archive.get"
    ARCHIVE_PUT = "container.archive.put"
    CONTAINER_REMOVE = "container.remove"
    CONTAINER_PRUNE = "container.prune"
    CHECKPOINTS = "container.checkpoints"
    CONTAINER_COPY = "container.copy"
    EXEC_CREATE = "exec.create"
    EXEC_START = "exec.start"
    EXEC_RESIZE = "exec.resize"
    EXEC_INSPECT = "exec.inspect"
    COMMIT = "commit"
    IMAGE_LIST = "image.list"
    IMAGE_INSPECT = "image.inspect"
    IMAGE_HISTORY = "image.history"
    IMAGE_ATTESTATIONS = "image.attestations"
    IMAGE_SAVE = "image.save"
    IMAGES_SAVE = "images.save"
    IMAGE_PULL = "image.pull"
    IMAGE_LOAD = "image.load"
    IMAGE_TAG = "image.tag"
    IMAGE_PUSH = "image.push"
    IMAGE_REMOVE = "image.remove"
    IMAGE_PRUNE = "image.prune"
    IMAGE_SEARCH = "image.search"
    DISTRIBUTION = "distribution"
    BUILD = "build"
    BUILD_PRUNE = "build.prune"
    BUILD_CANCEL = "build.cancel"
    SESSION = "session"
    GRPC = "grpc"
    NETWORK_LIST = "network.list"
    NETWORK_INSPECT = "network.inspect"
    NETWORK_CREATE = "network.create"
    NETWORK_CONNECT = "network.connect"
    NETWORK_DISCONNECT = "network.disconnect"
    NETWORK_REMOVE = "network.remove"
    NETWORK_PRUNE = "network.prune"
    VOLUME_LIST = "volume.list"
    VOLUME_INSPECT = "volume.inspect"
    VOLUME_CREATE = "volume.create"
    VOLUME_UPDATE = "volume.update"
    VOLUME_REMOVE = "volume.remove"
    VOLUME_PRUNE = "volume.prune"
    SWARM = "swarm"
    PLUGINS = "plugins"
    PLUGIN_INSPECT = "plugin.inspect"
    LIBPOD = "libpod"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and a path: words, and at most one of the slots below.

    ``{container}`` and ``{network}``, ``{volume}``, ``{exec}`` are one segment; ``{image}`` is one
    or more; ``**`` is anything, also nothing, and only for what is denied.
    """

    method: str
    path: str
    operation: Operation


def _endpoints() -> tuple[Endpoint, ...]:
    found = []
    for line in _TABLE.strip().splitlines():
        methods, path, name = line.split()
        found += [Endpoint(m, path, Operation(name)) for m in methods.split(",")]
    return tuple(found)


_TABLE = """
GET,HEAD /_ping ping
GET /version version
GET /info info
GET /events events
GET /system/df system.df
POST /auth auth
* /debug/** debug
* /metrics metrics
GET /containers/json container.list
POST /containers/create container.create
POST /containers/prune container.prune
GET /containers/{container}/json container.inspect
GET /containers/{container}/top container.top
GET /containers/{container}/logs container.logs
GET /containers/{container}/changes container.changes
GET /containers/{container}/stats container.stats
GET /containers/{container}/export container.export
POST /containers/{container}/start container.start
POST /containers/{container}/stop container.stop
POST /containers/{container}/restart container.restart
POST /containers/{container}/kill container.kill
POST /containers/{container}/update container.update
POST /containers/{container}/rename container.rename
POST /containers/{container}/pause container.pause
POST /containers/{container}/unpause container.unpause
POST /containers/{container}/wait container.wait
POST /containers/{container}/resize container.resize
POST /containers/{container}/attach container.attach
GET /containers/{container}/attach/ws container.attach.ws
HEAD /containers/{container}/archive container.archive.stat
GET /containers/{container}/archive container.archive.get
PUT /containers/{container}/archive container.archive.put
DELETE /containers/{container} container.remove
POST /containers/{container}/exec exec.create
POST /containers/{container}/copy container.copy
* /containers/{container}/checkpoints/** container.checkpoints
POST /exec/{exec}/start exec.start
POST /exec/{exec}/resize exec.resize
GET /exec/{exec}/json exec.inspect
POST /commit commit
GET /images/json image.list
GET /images/get images.save
GET /images/search image.search
POST /images/create image.pull
POST /images/load image.load
POST /images/prune image.prune
GET /images/{image}/json image.inspect
GET /images/{image}/history image.history
GET /images/{image}/attestations image.attestations
GET /images/{image}/get image.save
POST /images/{image}/tag image.tag
POST /images/{image}/push image.push
DELETE /images/{image} image.remove
GET /distribution/{image}/json distribution
POST /build build
POST /build/prune build.prune
POST /build/cancel build.cancel
* /session session
* /grpc grpc
GET /networks network.list
GET /networks/ network.list
POST /networks/create network.create
POST /networks/prune network.prune
GET /networks/{network} network.inspect
POST /networks/{network}/connect network.connect
POST /networks/{network}/disconnect network.disconnect
DELETE /networks/{network} network.remove
GET /volumes volume.list
POST /volumes/create volume.create
POST /volumes/prune volume.prune
GET /volumes/{volume} volume.inspect
PUT /volumes/{volume} volume.update
DELETE /volumes/{volume} volume.remove
GET /plugins/{image}/json plugin.inspect
* /plugins/** plugins
* /swarm/** swarm
* /nodes/** swarm
* /services/** swarm
* /tasks/** swarm
* /secrets/** swarm
* /configs/** swarm
* /libpod/** libpod
"""

ENDPOINTS = _endpoints()
"""All endpoints, in the order in which they are tried; ``*`` is every method."""
