"""Convert every PNG of one directory to a small JPEG in another, several at a time."""

import sys
from pathlib import Path

import wherry

START_OF_FRAME = b"\xff\xc0"


def size(jpeg: bytes) -> str:
    """Return the size that a baseline JPEG says it has."""
    at = jpeg.index(START_OF_FRAME)
    height, width = (int.from_bytes(jpeg[at + 5 + n : at + 7 + n]) for n in (0, 2))
    return f"{width}x{height}"


source, target = Path(sys.argv[1]), Path(sys.argv[2])
target.mkdir(exist_ok=True)
pictures = sorted(source.glob("*.png"))


def show(done: int, total: int | None) -> None:
    """Say how far it is: on a terminal all the time, otherwise in the end."""
    if done == len(pictures) or sys.stdout.isatty():
        print(f"{done} of {len(pictures)}")


made = []
with wherry.from_env() as client:
    convert = client.function("my/thumbnail", timeout="30s", pids=16)
    # A generator: no picture is read before there is room for it.
    inputs = (picture.read_bytes() for picture in pictures)
    results = client.map(convert, inputs, concurrency=4, progress=show)
    for picture, result in zip(pictures, results, strict=True):
        jpeg = result.check().stdout
        small = target / f"{picture.stem}.jpg"
        small.write_bytes(jpeg)
        made.append(f"{small} {size(jpeg)}")
print(" … ".join([made[0], made[-1]]))
