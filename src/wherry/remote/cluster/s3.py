"""Node states in an S3 bucket, or in anything that speaks its language."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Any, Protocol, cast

from wherry.errors import EngineUnavailable, UsageError
from wherry.remote.cluster.folder import MOST
from wherry.remote.cluster.shared import Entry, Snapshot
from wherry.remote.cluster.state import LARGEST

_CONNECT = 5.0
_READ = 10.0
_AT_ONCE = 10
"""Objects that are fetched at the same time: as many connections as botocore keeps."""
_GRAIN = 2.0
"""Seconds: S3 tells times in whole ones, in two places."""
_Asked = Awaitable[Mapping[str, Any]]


class S3Client(Protocol):
    """What is used of aiobotocore's client; names and values are those of S3's API."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> _Asked: ...  # noqa: N803, D102
    def get_object(self, *, Bucket: str, Key: str) -> _Asked: ...  # noqa: N803, D102
    def delete_object(self, *, Bucket: str, Key: str) -> _Asked: ...  # noqa: N803, D102
    def list_objects_v2(self, **asked: str) -> _Asked: ...  # noqa: D102


class Bucket:
    """Objects of a bucket directly below a prefix."""

    def __init__(self, client: S3Client, *, bucket: str, folder: str) -> None:
        self._client = client
        self._bucket = bucket
        path = "/".join(part for part in PurePosixPath(folder).parts if part != "/")
        self._prefix = f"{path}/" if path else ""
        self._fetched: dict[str, tuple[str, bytes]] = {}
        """Content by key, with the tag it had: what has not changed is not fetched again."""
        self._stack = AsyncExitStack()

    @classmethod
    async def open(cls, bucket: str, *, folder: str, endpoint: str | None = None) -> Bucket:
        """Make a client. Credentials and region are found as the AWS tools find them.

        Raises :class:`wherry.errors.UsageError` where the extra is not installed, and for an
        endpoint that is no address.
        """
        stack = AsyncExitStack()
        made = cls(await stack.enter_async_context(_client(endpoint)), bucket=bucket, folder=folder)
        made._stack = stack
        return made

    @property
    def where(self) -> str:
        """What people call it."""
        return f"the bucket {self._bucket} below {self._prefix or '/'}"

    async def write(self, name: str, data: bytes) -> None:
        """Replace an object; raises :class:`wherry.errors.EngineUnavailable`."""
        with self._translated():
            key = f"{self._prefix}{name}"
            await self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    async def remove(self, name: str) -> None:
        """Remove an object; raises :class:`wherry.errors.EngineUnavailable`."""
        with self._translated():
            await self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")

    async def read(self, *, within: float) -> Snapshot:
        """List every page, and fetch what is new and young enough to matter."""
        found: list[Mapping[str, Any]] = []
        now = time.time()
        with self._translated():
            async for page in self._pages():
                now = _date(page, otherwise=now)
                found += page.get("Contents", ())
                if len(found) >= MOST:
                    break
            young = [
                each
                for each in found
                if now - each["LastModified"].timestamp() <= within + _GRAIN
                and each["Size"] <= LARGEST
            ]
            entries = await self._fetch(young)
        return Snapshot(now=now, entries=entries, grain=_GRAIN)

    async def aclose(self) -> None:
        """Close the client's connections."""
        await self._stack.aclose()

    async def _pages(self) -> AsyncIterator[Mapping[str, Any]]:
        asked = {"Bucket": self._bucket, "Prefix": self._prefix, "Delimiter": "/"}
        while True:
            page = await self._client.list_objects_v2(**asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    async def _fetch(self, found: list[Mapping[str, Any]]) -> list[Entry]:
        places = asyncio.Semaphore(_AT_ONCE)

        async def entry(each: Mapping[str, Any]) -> Entry | None:
            async with places:
                data = await self._content(each["Key"], tag=each["ETag"])
            if data is None:
                return None
            name = each["Key"].removeprefix(self._prefix)
            return Entry(name=name, data=data, modified=each["LastModified"].timestamp())

        entries = await asyncio.gather(*(entry(each) for each in found))
        keys = {each["Key"] for each in found}
        self._fetched = {key: had for key, had in self._fetched.items() if key in keys}
        return [each for each in entries if each is not None]

    async def _content(self, key: str, *, tag: str) -> bytes | None:
        had = self._fetched.get(key)
        if had is not None and had[0] == tag:
            return had[1]
        from botocore.exceptions import ClientError

        try:
            answer = await self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError:  # removed since, or not ours to read: one bad object harms nobody
            return None
        async with answer["Body"] as body:
            data: bytes = await body.read(LARGEST + 1)
        self._fetched[key] = (str(answer["ETag"]), data)
        return data

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import aiohttp
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(f"{self.where} cannot be used: {error}") from error


@asynccontextmanager
async def _client(endpoint: str | None) -> AsyncIterator[S3Client]:
    try:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session
    except ImportError as error:
        raise UsageError("--s3 needs the extra s3: pip install 'wherry[s3]'") from error
    session = get_session()
    region = session.get_config_variable("region") or "us-east-1"
    config = AioConfig(
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        retries={"total_max_attempts": 2},
        # Not every server of this language knows what AWS added in 2025.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    async with AsyncExitStack() as stack:
        made = session.create_client("s3", region_name=region, endpoint_url=endpoint, config=config)
        try:
            client = await stack.enter_async_context(made)
        except ValueError as error:
            raise UsageError(f"--s3_endpoint: {endpoint!r} must be http(s)://HOST:PORT") from error
        yield cast("S3Client", client)


def _date(page: Mapping[str, Any], *, otherwise: float) -> float:
    """Return the time by the server's own clock."""
    text = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return otherwise
