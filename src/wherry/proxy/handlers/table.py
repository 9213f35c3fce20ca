"""Which handler each operation has: what is missing here is denied by the policy's own table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wherry.proxy.handlers import (
    archives,
    building,
    containers,
    create,
    execs,
    image_calls,
    networks,
    pruning,
    system,
    volumes,
)
from wherry.proxy.policy.operations import Operation as Op

if TYPE_CHECKING:
    from wherry.proxy.handlers.dispatch import Handle

HANDLERS: Mapping[Op, Handle] = {
    Op.PING: system.ping,
    Op.VERSION: system.version,
    Op.INFO: system.info,
    Op.EVENTS: system.events,
    Op.CONTAINER_LIST: system.containers,
    Op.CONTAINER_CREATE: create.create,
    Op.CONTAINER_INSPECT: system.container,
    Op.CONTAINER_TOP: containers.plain,
    Op.CONTAINER_LOGS: containers.stream,
    Op.CONTAINER_CHANGES: containers.plain,
    Op.CONTAINER_STATS: containers.stats,
    Op.CONTAINER_EXPORT: containers.stream,
    Op.CONTAINER_START: containers.start,
    Op.CONTAINER_STOP: containers.stop,
    Op.CONTAINER_RESTART: containers.stop,
    Op.CONTAINER_KILL: containers.plain,
    Op.CONTAINER_UPDATE: containers.update,
    Op.CONTAINER_RENAME: containers.rename,
    Op.CONTAINER_PAUSE: containers.plain,
    Op.CONTAINER_UNPAUSE: containers.plain,
    Op.CONTAINER_WAIT: containers.wait,
    Op.CONTAINER_RESIZE: containers.plain,
    Op.CONTAINER_ATTACH: containers.attach,
    Op.CONTAINER_ATTACH_WS: containers.attach,
    Op.ARCHIVE_STAT: archives.take,
    Op.ARCHIVE_GET: archives.take,
    Op.ARCHIVE_PUT: archives.put,
    Op.CONTAINER_REMOVE: containers.remove,
    Op.CONTAINER_PRUNE: pruning.containers,
    Op.EXEC_CREATE: execs.create,
    Op.EXEC_START: execs.start,
    Op.EXEC_RESIZE: execs.resize,
    Op.EXEC_INSPECT: execs.show,
    Op.COMMIT: building.commit,
    Op.BUILD: building.make,
    Op.BUILD_PRUNE: pruning.builds,
    Op.IMAGE_LIST: image_calls.show_all,
    Op.IMAGE_INSPECT: image_calls.show,
    Op.IMAGE_HISTORY: image_calls.show,
    Op.IMAGE_ATTESTATIONS: image_calls.attestations,
    Op.IMAGE_SAVE: image_calls.save,
    Op.IMAGES_SAVE: image_calls.save,
    Op.IMAGE_PULL: image_calls.pull,
    Op.IMAGE_TAG: image_calls.tag,
    Op.IMAGE_REMOVE: image_calls.remove,
    Op.IMAGE_PRUNE: image_calls.prune,
    Op.NETWORK_LIST: networks.show_all,
    Op.NETWORK_INSPECT: networks.show,
    Op.NETWORK_CREATE: networks.create,
    Op.NETWORK_CONNECT: networks.connect,
    Op.NETWORK_DISCONNECT: networks.connect,
    Op.NETWORK_REMOVE: networks.remove,
    Op.NETWORK_PRUNE: networks.prune,
    Op.VOLUME_LIST: volumes.show_all,
    Op.VOLUME_INSPECT: volumes.show,
    Op.VOLUME_CREATE: volumes.create,
    Op.VOLUME_REMOVE: volumes.remove,
    Op.VOLUME_PRUNE: volumes.prune,
}
