"""Bodies and results on the disk, and a disk that takes no more for a while."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.calls.model import INLINE
from wherry.calls.owners import Owner, forget_dead, is_alive
from wherry.calls.payloads import Payload, PayloadFiles
from wherry.errors import EngineError


@contextmanager
def full_disk(*, after: int) -> Iterator[None]:
    """Let no file grow above so many bytes; what is written until then is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def content(files: PayloadFiles, payload: Payload) -> bytes:
    return b"".join([chunk async for chunk in files.chunks(payload)])


@pytest.mark.parametrize("size", [0, 1, INLINE, INLINE + 1, 5 * INLINE + 7])
async def test_small_payloads_stay_in_memory_and_large_ones_are_files(
    tmp_path: Path, size: int
) -> None:
    files = PayloadFiles(tmp_path / "p", owner="me")
    data = os.urandom(size)
    async with files.spool() as spool:
        for start in range(0, size, 10_000):
            await spool.write(data[start : start + 10_000])
        payload = await spool.finish()
    assert payload.size == size
    assert (payload.file is None) == (size <= INLINE)
    assert await content(files, payload) == data
    assert [path.name for path in (tmp_path / "p").iterdir()] == [payload.file] * (size > INLINE)


async def test_a_payload_that_is_not_finished_leaves_no_file(tmp_path: Path) -> None:
    files = PayloadFiles(tmp_path / "p", owner="me")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving the block is what is tested
        async with files.spool() as spool:
            await spool.write(bytes(3 * INLINE))
            assert len(list((tmp_path / "p").iterdir())) == 1
            raise ZeroDivisionError
    assert list((tmp_path / "p").iterdir()) == []


async def test_what_a_full_disk_took_by_half_is_whole_once_there_is_room(tmp_path: Path) -> None:
    files = PayloadFiles(tmp_path / "p", owner="me")
    data = os.urandom(2 * INLINE)
    async with files.spool() as spool:
        with full_disk(after=INLINE + 100):
            with pytest.raises(EngineError, match="cannot write"):
                await spool.write(data)
            with pytest.raises(EngineError, match="cannot write"):
                await spool.finish()
        payload = await spool.finish()
    assert await content(files, payload) == data


async def test_a_file_that_is_gone_is_an_error_and_no_empty_payload(tmp_path: Path) -> None:
    files = PayloadFiles(tmp_path / "p", owner="me")
    with pytest.raises(EngineError, match="cannot read"):
        await content(files, Payload(5, file="me-gone"))


@given(st.integers(min_value=0, max_value=3))
def test_owners_are_alive_until_they_are_closed(others: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        owners = [Owner.register(directory) for _ in range(others + 1)]
        assert len({owner.id for owner in owners}) == len(owners)
        assert all(is_alive(directory, owner.id) for owner in owners)
        owners[0].close()
        owners[0].close()
        assert not is_alive(directory, owners[0].id)
        (directory / "0123456789abcdef").touch()
        forget_dead(directory)
        assert {path.name for path in directory.iterdir()} == {one.id for one in owners[1:]}
        for owner in owners[1:]:
            owner.close()
