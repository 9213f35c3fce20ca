"""The tar reader, on what GNU tar, star, Python and old tars write."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.support.layers import MTIME, directory, entry, header, padded, pax, pax_of, symlink, tar
from tests.support.require import require

from wherry.errors import ImageCorrupt
from wherry.images.stream import ByteStream
from wherry.images.tar import Entry, TarReader

LONG = "/".join(["directory-with-a-name"] * 12) + "/file"


def read(data: bytes, *, chunk: int = 700) -> list[tuple[Entry, bytes]]:
    """Read all members, from chunks that end anywhere."""
    pieces = (data[at : at + chunk] for at in range(0, len(data), chunk))
    reader = TarReader(ByteStream(pieces))
    return [(entry, reader.stream.read(entry.stored)) for entry in reader]


def only(data: bytes) -> tuple[Entry, bytes]:
    [found] = read(data)
    return found


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("chunk", [1, 511, 512, 1 << 20])
def test_members_are_read_in_every_format_and_however_they_arrive(format: int, chunk: int) -> None:  # noqa: A002
    data = tar(
        directory("d", 0o1777),
        entry("d/file", b"x" * 1000, mode=0o4755),
        entry(LONG, b"deep"),
        symlink("link", LONG),
        entry("empty"),
        format=format,
    )
    found = read(data, chunk=chunk)
    assert [e.name.decode().rstrip("/") for e, _ in found] == ["d", "d/file", LONG, "link", "empty"]
    assert [e.kind for e, _ in found] == ["dir", "file", "file", "symlink", "file"]
    assert [content for _, content in found] == [b"", b"x" * 1000, b"deep", b"", b""]
    assert found[0][0].mode == 0o1777
    assert found[1][0].mode == 0o4755
    assert found[3][0].link.decode() == LONG
    assert {e.mtime_ns for e, _ in found} == {MTIME * 10**9}


def test_a_ustar_prefix_comes_before_the_name() -> None:
    long = "p" * 100 + "/" + "n" * 60
    assert only(tar(entry(long), format=tarfile.USTAR_FORMAT))[0].name.decode() == long


def test_a_gnu_header_has_no_prefix_where_ustar_has_one() -> None:
    data = header(b"name", magic=b"ustar  \0", tail=b"14000000000")
    assert only(data)[0].name == b"name"


def test_a_name_that_ends_with_a_slash_was_a_directory_before_ustar() -> None:
    assert only(header(b"old/", kind=b"\0", magic=b""))[0].kind == "dir"


def test_pax_records_decide_over_the_header() -> None:
    data = pax(path="über", size="5", mtime="1.5") + header(b"x", size=0) + padded(b"hello")
    found, content = only(data)
    assert found.name == "über".encode()
    assert (content, found.mtime_ns) == (b"hello", 1_500_000_000)


def test_pax_times_may_be_before_1970() -> None:
    assert only(pax(mtime="-1.5") + header(b"x"))[0].mtime_ns == -1_500_000_000


def test_a_global_pax_header_is_passed_over() -> None:
    comment = b"52 comment=0123456789012345678901234567890123456789\n"
    data = header(b"g", size=len(comment), kind=b"g") + padded(comment) + header(b"name")
    assert only(data)[0].name == b"name"


def test_sizes_that_octal_cannot_hold_are_in_base_256() -> None:
    data = header(b"big", mtime=b"\x80" + (5_000_000_000).to_bytes(11, "big"))
    assert only(data)[0].mtime_ns == 5_000_000_000 * 10**9


def test_extended_attributes_are_bytes_even_with_newlines_in_them() -> None:
    data = pax_of([("SCHILY.xattr.user.note", b"a\nb=\0c")]) + header(b"x")
    assert only(data)[0].xattrs == {"user.note": b"a\nb=\0c"}


def test_what_the_consumer_did_not_read_is_skipped() -> None:
    data = tar(entry("a", b"1" * 3000), entry("b", b"2"))
    reader = TarReader(ByteStream(iter([data])))
    names = []
    for found in reader:
        reader.stream.read(min(found.stored, 10))
        names.append(found.name)
    assert names == [b"a", b"b"]


def test_an_archive_may_end_without_an_end_mark() -> None:
    assert only(header(b"x", size=3) + padded(b"abc"))[1] == b"abc"


def sparse_map(*numbers: int) -> str:
    return ",".join(map(str, numbers))


SPARSE = {
    "0.0": pax_of(
        [
            ("GNU.sparse.size", "9000"),
            ("GNU.sparse.numblocks", "2"),
            ("GNU.sparse.offset", "1000"),
            ("GNU.sparse.numbytes", "3"),
            ("GNU.sparse.offset", "8000"),
            ("GNU.sparse.numbytes", "2"),
        ]
    )
    + header(b"s", size=5)
    + padded(b"abcde"),
    "0.1": pax(GNU__sparse__size="9000", GNU__sparse__map="1000,3,8000,2", GNU__sparse__name="s")
    + header(b"GNUSparseFile.1/s", size=5)
    + padded(b"abcde"),
    "1.0": pax(
        GNU__sparse__major="1",
        GNU__sparse__minor="0",
        GNU__sparse__name="s",
        GNU__sparse__realsize="9000",
    )
    + header(b"GNUSparseFile.1/s", size=512 + 5)
    + padded(b"2\n1000\n3\n8000\n2\n")
    + padded(b"abcde"),
    "old": header(
        b"s",
        size=5,
        kind=b"S",
        magic=b"ustar  \0",
        tail=bytes(41)
        + b"%011o\0%011o\0" % (1000, 3)
        + b"%011o\0%011o\0" % (8000, 2)
        + bytes(48)
        + b"\0"
        + b"%011o\0" % 9000,
    )
    + padded(b"abcde"),
}


@pytest.mark.parametrize("form", SPARSE)
def test_a_sparse_file_is_read_in_all_four_forms(form: str) -> None:
    found, content = only(SPARSE[form])
    assert (found.name, found.size, found.stored) == (b"s", 9000, 5)
    assert found.pieces == [(1000, 3), (8000, 2)]
    assert content == b"abcde"


@pytest.mark.parametrize(
    "format", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix"]
)
def test_gnu_tars_own_sparse_files_are_read(format: str, tmp_path: Path) -> None:  # noqa: A002
    require("tar")
    with (tmp_path / "s").open("wb") as file:
        for number in range(30):  # more pieces than one header holds
            file.seek(number * 100_000)
            file.write(b"%d" % number)
    command = [
        "tar",
        "-cS",
        f"--format={format.split()[0]}",
        *format.split()[1:],
        "-C",
        str(tmp_path),
        "s",
    ]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    found, content = only(data)
    assert found.pieces is not None
    plain = bytearray(found.size)
    for offset, length in found.pieces:
        plain[offset : offset + length], content = content[:length], content[length:]
    assert bytes(plain) == (tmp_path / "s").read_bytes()


def with_size(field: bytes) -> bytes:
    block = bytearray(header(b"x"))
    block[124:136] = field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


BROKEN = {
    "a header that is cut short": header(b"x")[:300],
    "a wrong checksum": b"y" + header(b"x")[1:],
    "data cut short": header(b"x", size=1000) + b"only this",
    "an unknown type": header(b"x", kind=b"Q"),
    "a PAX header that is too large": header(b"p", size=1 << 21, kind=b"x"),
    "a PAX header that is cut short": header(b"p", size=100, kind=b"x") + b"short",
    "a PAX record whose length lies": header(b"p", size=9, kind=b"x") + padded(b"99 path=x\n"),
    "a PAX record without a value": header(b"p", size=7, kind=b"x") + padded(b"7 path\n"),
    "a PAX record with a negative length": header(b"p", size=9, kind=b"x") + padded(b"-9 path=\n"),
    "a PAX size that is no number": pax(size="many") + header(b"x"),
    "a PAX time that is no time": pax(mtime="noon") + header(b"x"),
    "a zero byte in a name": pax(path="a\0b") + header(b"x"),
    "a zero byte in a link": pax(linkpath="a\0b") + header(b"x", kind=b"2"),
    "a sparse map out of order": pax(GNU__sparse__size="9", GNU__sparse__map="5,1,0,1")
    + header(b"s", size=2)
    + padded(b"ab"),
    "a sparse map larger than its file": pax(GNU__sparse__size="9", GNU__sparse__map="8,5")
    + header(b"s", size=5)
    + padded(b"abcde"),
    "a sparse map that is not all of the data": pax(GNU__sparse__size="9", GNU__sparse__map="0,1")
    + header(b"s", size=5)
    + padded(b"abcde"),
    "a sparse map that never ends": pax(GNU__sparse__major="1", GNU__sparse__realsize="9")
    + header(b"s", size=512)
    + padded(b"9" * 512),
    "a sparse map of a million pieces": pax(GNU__sparse__major="1", GNU__sparse__realsize="9")
    + header(b"s", size=512)
    + padded(b"1000000\n"),
}  # fmt: skip


BROKEN["a size that is no number"] = with_size(b"a lot      \0")
BROKEN["a negative size"] = with_size(b"\xff" * 12)
BROKEN["a negative octal size"] = with_size(b"-0000000012\0")
BROKEN["a size beyond all disks"] = with_size(b"\x80" + b"\x7f" * 11)


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_archive_is_refused(what: str) -> None:
    with pytest.raises(ImageCorrupt, match="tar: "):
        read(BROKEN[what])


def test_any_bytes_end_in_entries_or_in_image_corrupt() -> None:
    import random

    dice = random.Random(1)
    whole = SPARSE["1.0"] + pax(path="x") + tar(entry("a", b"b"), symlink("c", "d"))
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        block = dice.randrange(0, len(data) // 512) * 512
        data[block + 148 : block + 156] = b" " * 8
        data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
        try:
            read(bytes(data))
        except ImageCorrupt:
            continue


def test_tarfile_agrees_about_its_own_archives() -> None:
    data = tar(entry("a", b"1"), directory("d"), entry("d/b", b"22"), symlink("s", "a"))
    with tarfile.open(fileobj=io.BytesIO(data)) as theirs:
        assert [e.name.decode().rstrip("/") for e, _ in read(data)] == theirs.getnames()
