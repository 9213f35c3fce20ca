"""A list of containers, read as fast as an engine tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from wherry.engines.docker.failures import failing
from wherry.errors import EngineError
from wherry.remote import columns
from wherry.remote.model import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engines.docker.client import DockerClient


class _Port(msgspec.Struct, rename="pascal"):
    private_port: int = 0
    ip: str = msgspec.field(default="", name="IP")
    public_port: int = 0
    type: str = "tcp"


class _Item(msgspec.Struct, rename="pascal"):
    id: str
    names: list[str] | None = None
    image: str = ""
    image_id: str = msgspec.field(default="", name="ImageID")
    command: str = ""
    created: float = 0.0
    status: str = ""
    ports: list[_Port] | None = None
    labels: dict[str, str] | None = None


_DECODER = msgspec.json.Decoder(list[_Item])


async def listed(client: DockerClient, *, labels: Mapping[str, str], now: float) -> Sequence[Row]:
    """Return every container that has these labels, the newest first."""
    wanted = [f"{key}={value}" for key, value in labels.items()]
    filters = msgspec.json.encode({"label": wanted}).decode() if wanted else None
    query = {"all": True, "filters": filters}
    request = await client.request("GET", "/containers/json", query=query)
    async with client.open(request) as response:
        with failing("GET /containers/json", address=client.address):
            answer = await response.read()
    try:
        items = _DECODER.decode(answer)
    except msgspec.MsgspecError as error:
        raise EngineError(f"engine {client.address}: its list cannot be read: {error}") from error
    return [_row(item, now=now) for item in items]


def _row(item: _Item, *, now: float) -> Row:
    aliases = item.names or [""]
    return Row(
        id=item.id,
        name=aliases[0].removeprefix("/"),
        labels=item.labels or {},
        columns=columns.row(
            id=item.id,
            image_name=item.image,
            image_id=item.image_id,
            words=item.command,
            created=item.created,
            status=item.status,
            published=_published(item.ports or ()),
            aliases=aliases,
            now=now,
        ),
    )


def _published(ports: Sequence[_Port]) -> Iterator[columns.Published]:
    for port in ports:
        yield columns.Published(port.private_port, port.ip, port.public_port, port.type)
