"""A tar stream as entries: ustar, old, GNU and PAX headers, sparse files in all four forms.

Sources: POSIX.1-2017 ``pax`` (ustar and pax interchange formats), the GNU tar manual's
"Basic Tar Format" and "Sparse Formats". Nothing here touches a file system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wherry.errors import ImageCorrupt

if TYPE_CHECKING:
    from wherry.images.stream import ByteStream

BLOCK = 512
_META_BYTES = 1 << 20
_SPARSE_PIECES = 100_000
_ZERO = bytes(BLOCK)
_XATTR = "SCHILY.xattr."

Kind = Literal["file", "dir", "symlink", "link", "fifo", "device", "other"]
_KINDS: Mapping[int, Kind] = {
    ord("0"): "file",
    0: "file",
    ord("7"): "file",
    ord("1"): "link",
    ord("2"): "symlink",
    ord("3"): "device",
    ord("4"): "device",
    ord("5"): "dir",
    ord("6"): "fifo",
    ord("S"): "file",
    ord("V"): "other",
    ord("A"): "other",
}


@dataclass(slots=True)
class Entry:
    """One member of an archive, before its data."""

    name: bytes
    kind: Kind
    mode: int
    mtime_ns: int
    link: bytes
    stored: int
    """Bytes of data in the stream."""
    size: int
    """Bytes of the file: more than ``stored`` when it is sparse."""
    pieces: list[tuple[int, int]] | None = None
    """Offset and length of what is stored of a sparse file."""
    xattrs: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Pending:
    """What extension headers say about the entry that follows them."""

    name: bytes | None = None
    link: bytes | None = None
    pax: dict[str, bytes] = field(default_factory=dict)
    sparse: list[int] = field(default_factory=list)


class TarReader:
    """Iterates over the entries of a stream.

    The consumer may read up to ``entry.stored`` bytes from the stream before it asks for the
    next entry; what it leaves is skipped. Raises :class:`ImageCorrupt` for what is no tar.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.entries = 0
        """Headers seen so far, extension headers too."""

    def __iter__(self) -> Iterator[Entry]:
        pending = _Pending()
        while (head := self._header()) is not None:
            self.entries += 1
            flag = head[156]
            if flag in b"LKxXg":
                self._extend(pending, flag, head)
                continue
            entry = self._entry(head, pending)
            pending = _Pending()
            end = self.stream.position + entry.stored
            yield entry
            left = end - self.stream.position
            self.stream.skip(left + -entry.stored % BLOCK)

    def _header(self) -> bytes | None:
        """Return the next header block; None at the end mark or the end of the stream."""
        head = self.stream.read(BLOCK)
        if not head or head == _ZERO:
            return None
        if len(head) < BLOCK:
            raise ImageCorrupt(f"tar: cut short inside a header at byte {self.stream.position}")
        stated = _number(head[148:156])
        field_sum = sum(head[148:156])
        if sum(head) - field_sum + 256 != stated and not _signed_sum_is(head, stated):
            where = self.stream.position - BLOCK
            raise ImageCorrupt(f"tar: the header at byte {where} has a wrong checksum")
        return head

    def _extend(self, pending: _Pending, flag: int, head: bytes) -> None:
        size = _size(head[124:136])
        if size > _META_BYTES:
            raise ImageCorrupt(f"tar: an extension header of {size} bytes is too large")
        data = self.stream.read(size)
        if len(data) < size:
            raise ImageCorrupt("tar: cut short inside an extension header")
        self.stream.skip(-size % BLOCK)
        match chr(flag):
            case "L":
                pending.name = data.split(b"\0", 1)[0]
            case "K":
                pending.link = data.split(b"\0", 1)[0]
            case "x" | "X":
                _read_pax(data, pending)
            # Global headers ("g") carry comments, as git's; Docker ignores them too.

    def _entry(self, head: bytes, pending: _Pending) -> Entry:
        pax = pending.pax
        name = pax.get("path") or pending.name or _name(head)
        kind = _KINDS.get(head[156])
        if kind is None:
            raise ImageCorrupt(f"tar: {name!r:.200} has unknown type {chr(head[156])!r}")
        if kind == "file" and name.endswith(b"/"):
            kind = "dir"  # before ustar there was no flag for directories
        stored = _pax_int(pax, "size", _size(head[124:136])) if kind in ("file", "other") else 0
        entry = Entry(
            name=pax.get("GNU.sparse.name") or name,
            kind=kind,
            mode=_number(head[100:108]) & 0o7777,
            mtime_ns=_pax_time(pax) if "mtime" in pax else _number(head[136:148]) * 10**9,
            link=pax.get("linkpath") or pending.link or _until_nul(head[157:257]),
            stored=stored,
            size=stored,
            xattrs={
                key[len(_XATTR) :]: value for key, value in pax.items() if key.startswith(_XATTR)
            },
        )
        if b"\0" in entry.name or b"\0" in entry.link:
            raise ImageCorrupt(f"tar: the name {entry.name!r:.200} contains a zero byte")
        if kind == "file":
            self._read_sparse(entry, head, pending)
        return entry

    def _read_sparse(self, entry: Entry, head: bytes, pending: _Pending) -> None:
        """Find the pieces of a sparse file, in whichever of the four forms they are."""
        pax = pending.pax
        if head[156] == ord("S"):
            numbers, entry.size = self._old_gnu(head), _size(head[483:495])
        elif "GNU.sparse.major" in pax:
            before = self.stream.position
            numbers, entry.size = self._pax_1_0(entry), _pax_int(pax, "GNU.sparse.realsize", 0)
            entry.stored -= self.stream.position - before
        elif "GNU.sparse.map" in pax:
            numbers = [_decimal(word) for word in pax["GNU.sparse.map"].split(b",") if word]
            entry.size = _pax_int(pax, "GNU.sparse.size", 0)
        elif pending.sparse:
            numbers, entry.size = pending.sparse, _pax_int(pax, "GNU.sparse.size", 0)
        else:
            return
        entry.pieces = _check_pieces(entry, numbers)

    def _old_gnu(self, head: bytes) -> list[int]:
        block, at, count, more = head, 386, 4, head[482]
        numbers: list[int] = []
        while True:
            for start in range(at, at + count * 24, 24):
                if block[start]:
                    numbers += (
                        _size(block[start : start + 12]),
                        _size(block[start + 12 : start + 24]),
                    )
            if not more:
                return numbers
            if len(numbers) > 2 * _SPARSE_PIECES:
                raise ImageCorrupt("tar: a sparse file has too many pieces")
            block, at, count = self._block(), 0, 21
            more = block[504]

    def _pax_1_0(self, entry: Entry) -> list[int]:
        start = self.stream.position
        buffer = b""

        def number() -> int:
            nonlocal buffer
            while b"\n" not in buffer:
                if self.stream.position - start >= entry.stored or len(buffer) > BLOCK:
                    raise ImageCorrupt(f"tar: the sparse map of {entry.name!r:.200} is broken")
                buffer += self._block()
            word, _, buffer = buffer.partition(b"\n")
            return _decimal(word)

        count = number()
        if count > _SPARSE_PIECES:
            raise ImageCorrupt("tar: a sparse file has too many pieces")
        return [number() for _ in range(2 * count)]

    def _block(self) -> bytes:
        block = self.stream.read(BLOCK)
        if len(block) < BLOCK:
            raise ImageCorrupt("tar: cut short inside a sparse map")
        return block


def _check_pieces(entry: Entry, numbers: list[int]) -> list[tuple[int, int]]:
    pieces = list(zip(numbers[::2], numbers[1::2], strict=False))
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0:
            raise ImageCorrupt(f"tar: the sparse map of {entry.name!r:.200} is out of order")
        end = offset + length
    if end > entry.size or sum(length for _, length in pieces) != entry.stored:
        raise ImageCorrupt(f"tar: the sparse map of {entry.name!r:.200} does not fit its data")
    return pieces


def _read_pax(data: bytes, pending: _Pending) -> None:
    """Read ``LENGTH KEY=VALUE NEWLINE`` records; the length counts the whole record."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        end = at + _decimal(data[at:space]) if space > 0 else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space + 1 or end > len(data) or data[end - 1] != 10 or not equals:
            raise ImageCorrupt(f"tar: a PAX record is broken: {data[at : at + 80]!r}")
        name = key.decode(errors="surrogateescape")
        if name in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            pending.sparse.append(_decimal(value))
        pending.pax[name] = value
        at = end


def _pax_int(pax: Mapping[str, bytes], name: str, default: int) -> int:
    return _decimal(pax[name]) if name in pax else default


def _pax_time(pax: Mapping[str, bytes]) -> int:
    whole, _, fraction = pax["mtime"].partition(b".")
    try:
        # A negative time counts its fraction downwards: -1.5 is 1.5 s before 1970.
        part = int(fraction[:9].ljust(9, b"0")) if fraction else 0
        return int(whole) * 10**9 + (-part if whole.startswith(b"-") else part)
    except ValueError as error:
        raise ImageCorrupt(f"tar: mtime {pax['mtime']!r:.80} is not a time") from error


def _decimal(text: bytes) -> int:
    if text.isdigit() and len(text) <= 19:
        return int(text)
    raise ImageCorrupt(f"tar: {text!r:.80} is not a number")


def _number(text: bytes) -> int:
    """Read an octal field, or GNU's base 256 for what does not fit."""
    if text[0] & 0x80:
        value = int.from_bytes(text, "big") & ((1 << (8 * len(text) - 1)) - 1)
        return value - (1 << (8 * len(text) - 1)) if text[0] & 0x40 else value
    digits = _until_nul(text).strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise ImageCorrupt(f"tar: {text!r} is not an octal number") from error


def _size(text: bytes) -> int:
    size = _number(text)
    if 0 <= size < 1 << 62:
        return size
    raise ImageCorrupt(f"tar: {size} cannot be a size")


def _name(head: bytes) -> bytes:
    name = _until_nul(head[:100])
    # Only POSIX's magic has a prefix there; GNU's ("ustar  ") uses the field for times.
    if head[257:263] == b"ustar\0" and head[345]:
        return _until_nul(head[345:500]) + b"/" + name
    return name


def _until_nul(text: bytes) -> bytes:
    return text.split(b"\0", 1)[0]


def _signed_sum_is(head: bytes, stated: int) -> bool:
    """Whether it is the checksum of tars that added up signed bytes."""
    rest = head[:148] + head[156:]
    return sum(byte - 256 if byte > 127 else byte for byte in rest) + 256 == stated
