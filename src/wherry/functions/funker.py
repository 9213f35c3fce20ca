"""An image that was made for Funker, run as a function: stdin in, stdout out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wherry.engines.relay import FUNKER, has_funker
from wherry.errors import Unsupported
from wherry.models import File

if TYPE_CHECKING:
    from wherry.models import Function

INSIDE = "/run/wherry/funker"
"""Where the container has the program that starts its own one."""


def answering(function: Function, *, port: int) -> Function:
    """Return the function with what speaks Funker to its program around it.

    Raises :class:`Unsupported` where wherry was installed without a C compiler.
    """
    if not has_funker():
        raise Unsupported(
            f"labels.wherry.funker: {port} needs the program that speaks to images made for "
            "Funker, and wherry was installed without a C compiler; install one and wherry again"
        )
    program = File(target=INSIDE, source=str(FUNKER), mode=0o755)
    return dataclasses.replace(
        function, around=(INSIDE, str(port)), files=(*function.files, program)
    )
