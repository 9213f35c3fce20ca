"""Print the requirements of one lock file that another one does not have."""

import re
import sys
from pathlib import Path


def blocks(path: str) -> list[str]:
    """Return the requirements of a lock file, each with the lines of its hashes."""
    return re.findall(r"^\S.*\n(?:[ \t].*\n)*", Path(path).read_text(), flags=re.MULTILINE)


had, wanted = (blocks(path) for path in sys.argv[1:3])
sys.stdout.writelines(block for block in wanted if block not in had)
