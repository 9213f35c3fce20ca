"""Node states in a bucket, on a real server of S3's language."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.support.remote_server import remote_server
from tests.support.s3_server import s3_server

from wherry.errors import EngineUnavailable, UsageError
from wherry.remote.cluster.members import Members, Membership
from wherry.remote.cluster.origins import Origins
from wherry.remote.cluster.s3 import Bucket, S3Client
from wherry.remote.cluster.seal import Seal
from wherry.remote.cluster.state import LARGEST

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

BUCKET = "nodes"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
async def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bucket]:
    for name in ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    made = await Bucket.open(BUCKET, folder=f"/tmp/{uuid.uuid4()}", endpoint=endpoint)
    await cast("Any", made._client).create_bucket(Bucket=BUCKET)
    yield made
    await made.aclose()


def member(bucket: Bucket, host: str) -> Members:
    async def measure() -> float:
        return 0.25

    how = Membership(
        own=host, seal=Seal("secret"), origins=Origins(host), refresh=30.0, cache=0.0,
        measure=measure, sealed_only=True,
    )  # fmt: skip
    return Members(bucket, how)


async def test_nodes_find_each_other_in_a_bucket_and_leave_it(bucket: Bucket) -> None:
    one, two = (member(bucket, f"http://10.0.0.{n}:1717") for n in (1, 2))
    await asyncio.gather(one.write(), two.write())
    assert [(node.host, node.load) for node in await one.nodes()] == [
        ("http://10.0.0.2:1717", 0.25)
    ]
    assert [node.host for node in await two.nodes()] == ["http://10.0.0.1:1717"]
    await two.leave()
    assert await one.nodes() == []
    await one.leave()
    assert (await bucket.read(within=90)).entries == []


class Counting:
    """A client that counts what it is asked for."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self.lists = 0
        self.gets: list[str] = []

    def list_objects_v2(self, **asked: str) -> Any:
        self.lists += 1
        return self._client.list_objects_v2(**asked)

    def get_object(self, **asked: str) -> Any:
        self.gets.append(asked["Key"])
        return self._client.get_object(**asked)


async def test_a_bucket_of_more_than_a_page_is_read_to_its_end(
    endpoint: str, bucket: Bucket
) -> None:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
    for number in range(1001):  # too large to be fetched; by hand, which is quicker
        path = f"/{BUCKET}/{bucket._prefix}{number:04}.json"
        connection.request("PUT", path, body=b"x" * (LARGEST + 1))
        connection.getresponse().read()
    connection.close()
    await bucket.write("first-of-the-last.json", b"{}")
    await bucket.write("last.json", b"{}")
    await bucket.write("last/further-down.json", b"{}")
    counting = Counting(bucket._client)
    bucket._client = cast("S3Client", counting)
    snapshot = await bucket.read(within=3600)
    names = [entry.name for entry in snapshot.entries]
    assert names == ["first-of-the-last.json", "last.json"]
    assert (counting.lists, len(counting.gets)) == (2, 2)
    assert all(abs(snapshot.now - entry.modified) < 3600 for entry in snapshot.entries)

    assert (await bucket.read(within=3600)).entries == snapshot.entries
    assert len(counting.gets) == 2  # nothing has changed, so nothing is fetched


async def test_objects_that_are_too_old_to_matter_are_not_fetched(bucket: Bucket) -> None:
    await bucket.write("one.json", b"{}")
    counting = Counting(bucket._client)
    bucket._client = cast("S3Client", counting)
    assert (await bucket.read(within=-3600)).entries == []
    assert counting.gets == []


async def test_an_object_that_changes_is_fetched_again(bucket: Bucket) -> None:
    for data in (b"1", b"2"):
        await bucket.write("changing.json", data)
        entries = (await bucket.read(within=3600)).entries
        assert data in [entry.data for entry in entries if entry.name == "changing.json"]


async def test_a_bucket_that_is_not_there_says_so(endpoint: str, bucket: Bucket) -> None:
    nowhere = await Bucket.open("nobodys", folder="x", endpoint=endpoint)
    with pytest.raises(EngineUnavailable, match=r"the bucket nobodys .*NoSuchBucket"):
        await nowhere.read(within=90)
    await nowhere.aclose()


async def test_a_server_that_is_not_there_says_so(bucket: Bucket) -> None:
    nowhere = await Bucket.open(BUCKET, folder="", endpoint="http://127.0.0.1:9")
    with pytest.raises(EngineUnavailable, match="cannot be used"):
        await nowhere.write("x", b"")
    await nowhere.aclose()


async def test_an_endpoint_that_is_no_address_is_refused(bucket: Bucket) -> None:
    with pytest.raises(UsageError, match="--s3_endpoint"):
        await Bucket.open(BUCKET, folder="", endpoint="nowhere")


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "sys.modules['aiobotocore.config'] = None\n"
        "from wherry.remote.cluster.s3 import Bucket\n"
        "from wherry.errors import UsageError\n"
        "try:\n    asyncio.run(Bucket.open('b', folder=''))\n"
        "except UsageError as error:\n    print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "--s3 needs the extra s3: pip install 'wherry[s3]'\n"


async def test_two_servers_work_together_by_a_bucket(
    endpoint: str, bucket: Bucket, dockerd: Dockerd, tmp_path: Path
) -> None:
    loads = []
    for load in (0.9, 0.1):
        loads.append(tmp_path / f"load-{load}")
        loads[-1].write_text(str(load))
    more = {"cluster": True, "s3": BUCKET, "s3_endpoint": endpoint, "folder": str(tmp_path),
            "cluster_token": "the nodes' own", "cache_interval": 0.001}  # fmt: skip
    async with (
        remote_server(dockerd.unix, load_from=loads[0], **more) as loaded,
        remote_server(dockerd.unix, load_from=loads[1], **more) as idle,
    ):
        fields = {"image": "busybox", "remove": True, "data": ["echo", "hi"]}
        heard = await loaded.ask("PUT", "/", fields)
        assert (heard.status, heard.json["raw"]) == (200, "hi\n")
        assert heard.headers["docker-server-host"] == idle.url
        assert (await idle.ask("HEAD", "/")).headers["docker-server-nodes"] == "2"
