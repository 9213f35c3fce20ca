"""Blobs are whole and right, or not there."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from wherry.errors import ImageCorrupt, ImageNotFound
from wherry.images.blobs import BlobStore
from wherry.images.model import Descriptor

DATA = b"some content" * 1000


def described(data: bytes = DATA, *, size: int | None = None) -> Descriptor:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return Descriptor(media_type="x", digest=digest, size=len(data) if size is None else size)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def partials(blobs: BlobStore) -> list[str]:
    return sorted(path.name for path in blobs.partial.iterdir())


def test_a_blob_appears_when_it_is_committed(blobs: BlobStore) -> None:
    blob = described()
    with blobs.begin(blob) as writer:
        assert (writer.done, writer.offset) == (False, 0)
        writer.write(DATA[:100])
        writer.write(memoryview(DATA)[100:])
        assert not blobs.has(blob.digest)
        writer.commit()
        assert writer.done
    assert blobs.read(blob.digest) == DATA
    assert partials(blobs) == []


def test_an_interrupted_blob_is_resumed_where_it_stopped(blobs: BlobStore) -> None:
    blob = described()
    with suppress(ConnectionError), blobs.begin(blob) as writer:
        writer.write(DATA[:5000])
        raise ConnectionError
    assert not blobs.has(blob.digest)
    with blobs.begin(blob) as writer:
        assert writer.offset == 5000
        writer.write(DATA[5000:])
        writer.commit()
    assert blobs.read(blob.digest) == DATA


def test_a_blob_that_only_lacked_its_commit_is_committed(blobs: BlobStore) -> None:
    with blobs.begin(described()) as writer:
        writer.write(DATA)
    with blobs.begin(described()) as writer:
        assert writer.offset == len(DATA)
        writer.commit()
    assert blobs.has(described().digest)


def test_what_was_there_is_verified_too(blobs: BlobStore) -> None:
    blob = described()
    with blobs.begin(blob) as writer:
        writer.write(b"?" * 5000)
    with blobs.begin(blob) as writer:
        writer.write(DATA[5000:])
        with pytest.raises(ImageCorrupt, match=f"{blob.digest}.*got sha256:"):
            writer.commit()
    assert not blobs.has(blob.digest)
    assert partials(blobs) == []


def test_a_blob_can_start_over(blobs: BlobStore) -> None:
    with blobs.begin(described()) as writer:
        writer.write(b"?" * 5000)
    with blobs.begin(described()) as writer:
        writer.restart()
        assert writer.offset == 0
        writer.write(DATA)
        writer.commit()
    assert blobs.read(described().digest) == DATA


def test_more_bytes_than_promised_are_refused_at_once(blobs: BlobStore) -> None:
    with blobs.begin(described(size=100)) as writer:
        writer.write(DATA[:100])
        with pytest.raises(ImageCorrupt, match="longer than the 100 bytes"):
            writer.write(b"x")
    assert partials(blobs) == []


def test_fewer_bytes_than_promised_are_refused(blobs: BlobStore) -> None:
    with blobs.begin(described(size=len(DATA) + 1)) as writer:
        writer.write(DATA)
        with pytest.raises(ImageCorrupt, match=f"expected {len(DATA) + 1} bytes, got {len(DATA)}"):
            writer.commit()
    assert partials(blobs) == []


def test_a_partial_file_longer_than_the_blob_starts_over(blobs: BlobStore) -> None:
    blob = described()
    blobs.partial_path(blob.digest.replace(":", "-")).write_bytes(DATA * 2)
    with blobs.begin(blob) as writer:
        assert writer.offset == 0


def test_a_blob_without_a_byte_leaves_no_file_behind(blobs: BlobStore) -> None:
    with blobs.begin(described()):
        pass
    assert partials(blobs) == []


def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    assert blobs.read(blobs.put(b"", media_type="x").digest) == b""


def test_of_two_that_want_a_blob_one_fetches_and_the_other_waits(blobs: BlobStore) -> None:
    blob, entered, seen = described(), threading.Event(), []

    def second() -> None:
        entered.set()
        with BlobStore(blobs.partial.parent).begin(blob) as writer:
            seen.append(writer.done)

    with blobs.begin(blob) as writer:
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(5)
        writer.write(DATA)
        assert seen == []
        writer.commit()
    thread.join(5)
    assert seen == [True]
    assert partials(blobs) == []


def test_who_waited_in_vain_goes_on_where_the_first_one_stopped(blobs: BlobStore) -> None:
    blob, entered, seen = described(), threading.Event(), []

    def second() -> None:
        entered.set()
        with BlobStore(blobs.partial.parent).begin(blob) as writer:
            seen.append((writer.done, writer.offset))

    with blobs.begin(blob) as writer:
        writer.write(DATA[:77])
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(5)
    thread.join(5)
    assert seen == [(False, 77)]


def test_a_blob_of_ours_is_named_by_its_digest(blobs: BlobStore) -> None:
    with blobs.create() as new:
        new.write(DATA)
        blob = new.commit(media_type="application/x")
    assert blob == Descriptor(media_type="application/x", digest=described().digest, size=len(DATA))
    assert blobs.read(blob.digest) == DATA


def test_a_blob_of_ours_is_gone_without_its_commit(blobs: BlobStore) -> None:
    with blobs.create() as new:
        new.write(DATA)
    assert partials(blobs) == []


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64, "0" * 64],
)
def test_a_digest_is_never_a_path_to_elsewhere(digest: str, blobs: BlobStore) -> None:
    with pytest.raises(ImageCorrupt, match="digest"):
        blobs.path(digest)


def test_a_blob_that_is_missing_says_what_to_do(blobs: BlobStore) -> None:
    with pytest.raises(ImageNotFound, match="pull it again"):
        blobs.read(described().digest)


def test_sha512_is_a_digest_too(blobs: BlobStore) -> None:
    digest = "sha512:" + hashlib.sha512(DATA).hexdigest()
    with blobs.begin(Descriptor(media_type="x", digest=digest, size=len(DATA))) as writer:
        writer.write(DATA)
        writer.commit()
    assert blobs.read(digest) == DATA
