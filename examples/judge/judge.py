"""Run submissions against tests, each in a container with limits, and say how it went."""

import sys
from pathlib import Path

import wherry

TESTS = {"1 2 3": "6", "": "0", "10 -10 5": "5"}
MEMORY = 64 << 20


def can_bound_memory(client: wherry.Client) -> bool:
    """Whether containers can be bounded; an ordinary user may need a delegated cgroup."""
    try:
        client.prepare("my/python", memory=MEMORY)
    except wherry.Unsupported:
        return False
    return True


def submission(path: Path, *, bounded: bool) -> wherry.Function:
    """Return the function that a file of a stranger's becomes."""
    # Two limits of memory: one that each process meets itself, and one for all of them.
    command = f"ulimit -d {MEMORY // 1024}; exec /usr/bin/python3 -I /submission.py"
    return wherry.Function(
        name=path.stem,
        image="my/python",
        command=("sh", "-c", command),
        files=(wherry.File(target="/submission.py", source=str(path)),),
        limits=wherry.Limits(
            timeout=3, pids=16, tmp=4 << 20, stdout=4096, memory=2 * MEMORY if bounded else None
        ),
        read_only=True,
    )


def verdict(client: wherry.Client, function: wherry.Function) -> str:
    """Return the verdict of the first test that is not passed, or "ok"."""
    for numbers, expected in TESTS.items():
        result = client.invoke(function, input=numbers)
        problem = explain(result, expected)
        if problem:
            return problem
    return "ok"


def explain(result: wherry.Result, expected: str) -> str:
    last_words = result.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    match result.exit:
        case wherry.Exit(reason="timeout"):
            return "took too long"
        case wherry.Exit(reason="oom"):
            return "used too much memory"
        case wherry.Exit(reason="output"):
            return "wrote too much"
        case wherry.Exit(code=0, reason="exited"):
            answer = result.text.strip()
            return "" if answer == expected else f"wrong answer: {answer} instead of {expected}"
        case wherry.Exit(reason="exited"):
            memory = last_words == "MemoryError"
            return "used too much memory" if memory else f"failed: {last_words}"
        case ended:
            return f"crashed ({ended.signal})"


with wherry.from_env() as client:
    bounded = can_bound_memory(client)
    for path in sorted(map(Path, sys.argv[1:])):
        print(f"{path.stem:<8} {verdict(client, submission(path, bounded=bounded))}")
