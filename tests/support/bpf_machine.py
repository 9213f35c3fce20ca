"""A classic BPF machine, as far as seccomp uses it: an oracle that shares no code with ours."""

from __future__ import annotations

import struct

ALLOW = 0x7FFF0000
KILL = 0x80000000
EPERM = 0x00050000 | 1
ENOSYS = 0x00050000 | 38
X86_64 = 0xC000003E
AARCH64 = 0xC00000B7
I386 = 0x40000003


def verdict(program: bytes, *, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    """Run the filter on one system call; reject what the kernel would reject."""
    padded = [*args, *[0] * (6 - len(args))]
    data = struct.pack("<IIQ6Q", number, arch, 0, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    assert len(program) % 8 == 0
    assert 0 < len(code) <= 4096
    accumulator = at = 0
    while True:
        op, if_true, if_false, k = code[at]
        at += 1
        match op:
            case 0x20:
                assert k % 4 == 0
                assert k < len(data)
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x15:
                at += if_true if accumulator == k else if_false
            case 0x35:
                at += if_true if accumulator >= k else if_false
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"instruction {op:#x} is not one seccomp takes")


def steps(program: bytes, *, arch: int, number: int) -> int:
    """Count the instructions that one system call without arguments runs."""
    code = list(struct.iter_unpack("<HBBI", program))
    values = {0: number, 4: arch}
    accumulator = at = count = 0
    while True:
        op, if_true, if_false, k = code[at]
        at, count = at + 1, count + 1
        if op == 0x20:
            accumulator = values.get(k, 0)
        elif op == 0x54:
            accumulator &= k
        elif op == 0x05:
            at += k
        elif op in (0x15, 0x35):
            at += if_true if (accumulator == k if op == 0x15 else accumulator >= k) else if_false
        else:
            return count
