"""Decisions about numbers as a program for the kernel's classic BPF machine.

The instruction set is that of ``linux/filter.h``, the data that of ``struct seccomp_data`` in
``linux/seccomp.h``: number at 0, architecture at 4, six 64-bit arguments from 16 on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP = 0x05  # BPF_JMP | BPF_JA
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

NUMBER_OFFSET = 0
ARCH_OFFSET = 4
_WHOLE = 0xFFFF_FFFF
_FARTHEST = 255
"""Instructions that a conditional jump can skip."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One ``struct sock_filter``."""

    code: int
    k: int
    if_true: int = 0
    if_false: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A verdict that depends on the low 32 bits of one argument.

    Only for arguments of which the kernel itself reads no more: a program may put anything
    into the upper half, and a comparison of all 64 bits would let it through.
    """

    argument: int
    among: tuple[int, ...]
    """Values, after `mask`, that get the verdict `then`."""
    then: int
    otherwise: int
    mask: int = _WHOLE


Rule = int | Check
"""A verdict (``SECCOMP_RET_*``), at once or after a look at an argument."""
Span = tuple[int, Rule]
"""A rule and the first number it is for; it ends where the next one starts."""


def assemble(instructions: Iterable[Instruction]) -> bytes:
    """Encode as the array of ``struct sock_filter`` that the kernel reads (little-endian)."""
    return b"".join(struct.pack("<HBBI", i.code, i.if_true, i.if_false, i.k) for i in instructions)


def decision_tree(spans: Sequence[Span]) -> list[Instruction]:
    """Decide about the loaded number with a balanced tree of comparisons.

    `spans` are in order of their first numbers, the first of which is 0.
    """
    if len(spans) == 1:
        return _leaf(spans[0][1])
    middle = len(spans) // 2
    low, high = decision_tree(spans[:middle]), decision_tree(spans[middle:])
    pivot = spans[middle][0]
    if len(low) <= _FARTHEST:
        return [Instruction(JUMP_AT_LEAST, pivot, len(low), 0), *low, *high]
    far = [Instruction(JUMP_AT_LEAST, pivot, 0, 1), Instruction(JUMP, len(low))]
    return [*far, *low, *high]


def _leaf(rule: Rule) -> list[Instruction]:
    if isinstance(rule, int):
        return [Instruction(RETURN, rule)]
    code = [Instruction(LOAD, 16 + 8 * rule.argument)]
    if rule.mask != _WHOLE:
        code.append(Instruction(AND, rule.mask))
    count = len(rule.among)
    code += [Instruction(JUMP_EQUAL, v, count - i) for i, v in enumerate(rule.among)]
    return [*code, Instruction(RETURN, rule.otherwise), Instruction(RETURN, rule.then)]
