"""The page about functions is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wherry.functions.settings import LABELS
from wherry.functions.toml import KEYS

TOP = Path(__file__).parents[2]


def test_the_page_is_what_its_script_writes() -> None:
    script = TOP / "scripts" / "functions_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run `python scripts/functions_reference.py`"


def test_the_page_has_every_label_and_key() -> None:
    page = (TOP / "docs" / "reference" / "functions.md").read_text()
    assert [name for name in (*LABELS, *KEYS) if f"`{name}`" not in page] == []
