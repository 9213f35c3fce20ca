"""Compile the static helpers of the local engine, where a C compiler is found.

They are optional: without them the same steps are done in Python, a few milliseconds slower.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("src/wherry/engines/local/native")
FLAGS = ["-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror"]
FLAGS += ["-fno-asynchronous-unwind-tables", "-ffunction-sections", "-Wl,--gc-sections"]
FLAGS += ["-Wl,--build-id=none", "-Wl,-z,noseparate-code"]


def compile_helpers(root: Path) -> list[Path]:
    """Compile every ``*.c`` of the native directory; return the programs made, if any."""
    compilers = [found for name in ("musl-gcc", "cc", "gcc") if (found := shutil.which(name))]
    made = []
    for source in sorted((root / SOURCES).glob("*.c")):
        program = source.with_suffix("")
        for compiler in compilers:
            partial = source.with_suffix(".partial")
            command = [compiler, *FLAGS, "-o", str(partial), str(source)]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                partial.rename(program)
                made.append(program)
                break
    return made


class CustomBuildHook(BuildHookInterface[Any]):
    """Add the helpers to the wheel, which then is for this kind of machine only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are gathered (hatchling's build hook interface)."""
        del version
        made = compile_helpers(Path(self.root))
        if made:
            build_data["artifacts"] += [f"/{path.relative_to(self.root)}" for path in made]
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
