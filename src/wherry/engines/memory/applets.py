"""The memory engine's ``busybox``: a few applets that behave as the real ones do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from wherry.engines.memory.minishell import run_script
from wherry.errors import ProgramNotFound
from wherry.models import CHUNK

if TYPE_CHECKING:
    from wherry.engines.memory.call import Call, Program
    from wherry.engines.memory.pipe import Pipe

_ZEROS = bytes(CHUNK)


async def busybox(call: Call) -> int | None:
    """Run the applet that argv names; a leading ``busybox`` is skipped, as by the real one."""
    argv = call.argv[1:] if call.argv[:1] == ("busybox",) else call.argv
    if not argv:
        await call.stdout.write(f"applets: {', '.join(sorted(APPLETS))}\n".encode())
        return 0
    name = argv[0].rpartition("/")[2]
    if name not in APPLETS:
        image = call.invocation.function.image
        raise ProgramNotFound(f"image {image!r} has no program {argv[0]!r}")
    return await APPLETS[name](replace(call, argv=argv))


async def _true(call: Call) -> int:
    return 0


async def _false(call: Call) -> int:
    return 1


async def _echo(call: Call) -> None:
    words = call.argv[1:]
    end = "\n"
    if words[:1] == ("-n",):
        words, end = words[1:], ""
    await call.stdout.write((" ".join(words) + end).encode())


async def _cat(call: Call) -> int:
    for name in call.argv[1:] or ("-",):
        source = _opened(call, name)
        if source is None:
            await _complain(call, f"can't open '{name}': No such file or directory")
            return 1
        async for chunk in source:
            await call.stdout.write(chunk)
    return 0


def _opened(call: Call, name: str) -> AsyncIterator[bytes] | Pipe | None:
    if name in {"-", "/dev/stdin"}:
        return call.stdin
    if name == "/dev/zero":
        return _endless(_ZEROS)
    function = call.invocation.function
    contents = {file.target: file.data for file in function.files}
    contents |= {f"/run/secrets/{secret.name}": secret.value for secret in function.secrets}
    data = contents.get(name)
    return None if data is None else _once(data)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _endless(data: bytes) -> AsyncIterator[bytes]:
    while True:
        yield data
        await asyncio.sleep(0)  # a program that never waits must not stop the event loop


async def _head(call: Call) -> int:
    """``head -c N``, and nothing else that head can do."""
    if len(call.argv) < 3 or call.argv[1] != "-c":
        await _complain(call, "this head knows only -c BYTES")
        return 1
    left = int(call.argv[2])
    source = _opened(call, call.argv[3] if len(call.argv) > 3 else "-")
    if source is None:
        await _complain(call, f"{call.argv[3]}: No such file or directory")
        return 1
    while left and (chunk := await anext(source, b"")):
        await call.stdout.write(chunk[:left])
        left -= len(chunk[:left])
    return 0


async def _tr(call: Call) -> int:
    if len(call.argv) != 3:
        await _complain(call, "this tr knows only two sets")
        return 1
    old, new = (_expanded(chars) for chars in call.argv[1:])
    new = new.ljust(len(old), new[-1:])[: len(old)]
    table = bytes.maketrans(old, new)
    async for chunk in call.stdin:
        await call.stdout.write(chunk.translate(table))
    return 0


def _expanded(chars: str) -> bytes:
    data = chars.encode()
    out = bytearray()
    position = 0
    while position < len(data):
        if data[position + 1 : position + 2] == b"-" and position + 2 < len(data):
            out += bytes(range(data[position], data[position + 2] + 1))
            position += 3
        else:
            out.append(data[position])
            position += 1
    return bytes(out)


def _digest(new: Callable[[], hashlib._Hash]) -> Program:
    async def program(call: Call) -> None:
        digest = new()
        async for chunk in call.stdin:
            digest.update(chunk)
        await call.stdout.write(f"{digest.hexdigest()}  -\n".encode())

    return program


async def _wc(call: Call) -> int:
    if call.argv[1:] != ("-c",):
        await _complain(call, "this wc knows only -c")
        return 1
    count = 0
    async for chunk in call.stdin:
        count += len(chunk)
    await call.stdout.write(f"{count}\n".encode())
    return 0


async def _sleep(call: Call) -> None:
    await asyncio.sleep(sum(float(number) for number in call.argv[1:]))


async def _env(call: Call) -> None:
    listing = "".join(f"{name}={value}\n" for name, value in call.env.items())
    await call.stdout.write(listing.encode())


async def _pwd(call: Call) -> None:
    await call.stdout.write(f"{call.invocation.function.workdir or '/'}\n".encode())


async def _hostname(call: Call) -> None:
    function = call.invocation.function
    await call.stdout.write(f"{function.hostname or call.invocation.id[:12]}\n".encode())


async def _yes(call: Call) -> None:
    line = (" ".join(call.argv[1:]) or "y").encode() + b"\n"
    async for chunk in _endless(line * (CHUNK // len(line) or 1)):
        await call.stdout.write(chunk)


async def _complain(call: Call, problem: str) -> None:
    await call.stderr.write(f"{call.argv[0]}: {problem}\n".encode())


async def _sh(call: Call) -> int:
    if len(call.argv) != 3 or call.argv[1] != "-c":
        await _complain(call, "the memory engine's shell knows only -c SCRIPT")
        return 2
    return await run_script(call, call.argv[2], applets=APPLETS)


APPLETS: dict[str, Program] = {
    "cat": _cat,
    "echo": _echo,
    "env": _env,
    "false": _false,
    "head": _head,
    "hostname": _hostname,
    "md5sum": _digest(hashlib.md5),
    "pwd": _pwd,
    "sh": _sh,
    "sha256sum": _digest(hashlib.sha256),
    "sleep": _sleep,
    "tr": _tr,
    "true": _true,
    "wc": _wc,
    "yes": _yes,
}
"""By name; each reads argv from :attr:`Call.argv`, its own name first."""
