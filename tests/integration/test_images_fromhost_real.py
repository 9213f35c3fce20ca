"""Programs of this machine, run with nothing but what their image took along."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.bwrap import BWRAP
from tests.support.require import require

from wherry.images import linking
from wherry.images.fromhost import from_host
from wherry.images.store import ImageStore

if TYPE_CHECKING:
    from wherry.images.model import Image

PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def run_in(image: Image, *command: str, stdin: str = "") -> str:
    """Run a program with nothing but the image's files."""
    sandbox = [BWRAP, "--unshare-all", "--clearenv", "--bind", str(image.rootfs), "/"]
    sandbox += ["--proc", "/proc", "--dev", "/dev", "--"]
    done = subprocess.run(
        [*sandbox, *command], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_programs_of_this_machine_run_in_an_image_of_their_own(store: ImageStore) -> None:
    programs = ["tr", "cat", "sh", require("awk"), require("busybox")]
    image = from_host(store, "tools", programs=programs)
    assert run_in(image, "/usr/bin/tr", "a-z", "A-Z", stdin="hello") == "HELLO"
    assert run_in(image, "/bin/cat", stdin="hello") == "hello"
    assert run_in(image, "/usr/bin/awk", "{print $2}", stdin="a b c") == "b\n"
    assert run_in(image, "/bin/sh", "-c", "echo $((6*7))") == "42\n"
    assert "BusyBox" in run_in(image, require("busybox"), "--help")
    again = from_host(store, "again", programs=programs)
    assert again.digest == image.digest


def test_a_whole_language_runs_in_an_image_of_its_own(store: ImageStore) -> None:
    require(str(PYTHON))
    show = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    library = subprocess.run(
        [PYTHON, "-Ic", show], capture_output=True, text=True, check=True
    ).stdout.strip()
    image = from_host(store, "python", programs=[str(PYTHON)], trees=[Path(library)])
    script = """
        import ctypes, hashlib, json, lzma, sqlite3, ssl, threading
        thread = threading.Thread(target=print, args=("threads",))
        thread.start()
        thread.join()
        print(json.dumps(hashlib.md5(b"x").hexdigest()))
    """
    said = run_in(image, str(PYTHON), "-Ic", "\n".join(map(str.strip, script.splitlines())))
    assert said == 'threads\n"9dd4e461268c8034f5c8564e155c67a6"\n'


def test_a_library_that_only_the_cache_knows_is_found_in_the_image(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = require("gcc")
    (tmp_path / "lib.c").write_text("int answer(void) { return 42; }")
    (tmp_path / "p.c").write_text("int answer(void); int main(void) { return answer() - 42; }")
    library = tmp_path / "away" / "libanswer.so"
    library.parent.mkdir()
    subprocess.run([compiler, "-shared", "-o", library, tmp_path / "lib.c"], check=True)
    program = tmp_path / "p"
    command: list[str | Path] = [compiler, "-o", program, tmp_path / "p.c"]
    subprocess.run([*command, "-L", library.parent, "-lanswer"], check=True)
    monkeypatch.setattr(linking, "_cached", lambda _: {"libanswer.so": [str(library)]})
    image = from_host(store, "answer", programs=[str(program)])
    run_in(image, str(program))
