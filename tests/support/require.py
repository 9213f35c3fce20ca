"""A part of the machine that a test needs: skipped at home, an error under WHERRY_REQUIRE=all."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """End this test because the machine lacks ``what``: a failure under WHERRY_REQUIRE=all."""
    if os.environ.get("WHERRY_REQUIRE") == "all":
        pytest.fail(f"missing, and WHERRY_REQUIRE=all: {what}", pytrace=False)
    pytest.skip(f"missing: {what}")


def require(program: str) -> str:
    """Return the path of a program that the machine must have for this test."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        missing(f"the program {program!r}")
    return path


def require_root() -> None:
    """End this test unless it runs as root."""
    if os.geteuid() != 0:
        missing("root")
