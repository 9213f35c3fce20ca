"""Paint PNG pictures, 256 x 128, without any library."""

import struct
import sys
import zlib
from pathlib import Path

WIDTH, HEIGHT = 256, 128


def chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(hue: int) -> bytes:
    rows = b"".join(
        b"\0" + b"".join(bytes((x % 256, 2 * y % 256, hue)) for x in range(WIDTH))
        for y in range(HEIGHT)
    )
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


directory = Path("pictures")
directory.mkdir(exist_ok=True)
for number in range(int(sys.argv[1])):
    (directory / f"{number}.png").write_bytes(png(40 * number % 256))
