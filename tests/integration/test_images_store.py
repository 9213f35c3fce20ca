"""The image store among processes that die, and with the tools that others use."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support import store_process
from tests.support.bwrap import BWRAP
from tests.support.layers import apply, directory, entry, image_of, tar
from tests.support.require import require
from tests.support.store_process import LAYER, NUMBERED

from wherry.errors import ImageInUse
from wherry.images import linking
from wherry.images.archive import load, save
from wherry.images.fromhost import from_host
from wherry.images.store import ImageStore

if TYPE_CHECKING:
    from wherry.images.model import Image

PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


class Others:
    """Processes that use the same store; all are ended with the test."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start one, and wait until it is about to act."""
        process = store_process.start(self._root, *words)
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def stop_at(self, *words: str) -> subprocess.Popen[str]:
        """Start one and wait until it has reached its stage."""
        process = self.start(*words)
        self.go(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line == "stopped\n":
                return process
        raise AssertionError(f"{words} ended without reaching its stage")

    def go(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def others(store: ImageStore) -> Iterator[Others]:
    found = Others(store.root)
    yield found
    found.close()


def is_clean(store: ImageStore) -> bool:
    """Whether a store without images has nothing left but its own furniture."""
    left = [path for path in store.root.rglob("*") if not path.is_dir()]
    names = {str(path.relative_to(store.root)) for path in left}
    rootfs = list((store.root / "rootfs").iterdir())
    return not rootfs and names <= {"references.json", "locks/references", "locks/garbage"}


@pytest.mark.parametrize("stage", ["unpacking", "unpacked", "renamed"])
def test_a_process_killed_while_it_unpacks_leaves_nothing_half_usable(
    stage: str, store: ImageStore, others: Others
) -> None:
    process = others.stop_at("register", stage)
    assert list((store.root / "rootfs").iterdir()) != []
    assert store.find("a") is None
    store.recover()
    assert list((store.root / "rootfs").iterdir()) != [], "its maker lives"
    process.kill()
    process.wait()
    after = ImageStore(store.root)
    assert after.list() == []
    after.recover()
    assert list((store.root / "rootfs").iterdir()) == []
    after.prune()
    assert is_clean(store)


def test_the_next_process_unpacks_what_a_killed_one_did_not_finish(
    store: ImageStore, others: Others
) -> None:
    process = others.stop_at("register", "unpacking")
    process.kill()
    process.wait()
    image = image_of(ImageStore(store.root), LAYER, reference="a")
    assert (image.rootfs / "last").read_bytes() == b"y"
    assert [path.name for path in (store.root / "rootfs").iterdir()] == [image.id[7:]]


def test_an_image_that_only_lacks_its_name_is_whole(store: ImageStore, others: Others) -> None:
    process = others.stop_at("register", "recorded")
    process.kill()
    process.wait()
    [image] = store.list()
    assert image.references == ()
    assert image_of(store, LAYER, reference="a").rootfs == image.rootfs


@pytest.mark.parametrize("stage", ["unnamed", "removing"])
def test_a_process_killed_while_it_removes_leaves_nothing_half_usable(
    stage: str, store: ImageStore, others: Others
) -> None:
    image_of(store, LAYER, reference="a")
    process = others.stop_at("remove", stage)
    assert store.find("a") is None
    assert store.list() == []
    process.kill()
    process.wait()
    after = ImageStore(store.root)
    after.recover()
    assert list((store.root / "rootfs").iterdir()) == []
    after.prune()
    assert is_clean(store)


def test_a_blob_of_a_killed_process_can_be_resumed(store: ImageStore, others: Others) -> None:
    process = others.stop_at("fetch")
    process.kill()
    process.wait()
    store.recover()
    [partial] = (store.root / "partial").iterdir()
    assert partial.read_bytes() == b"half"
    assert store.usage().partial == 4


def test_processes_that_want_the_same_image_unpack_it_once(
    store: ImageStore, others: Others
) -> None:
    processes = [others.start("register") for _ in range(6)]
    for process in processes:
        others.go(process)
    said = [process.communicate(timeout=60)[0] for process in processes]
    [image] = store.list()
    assert sum(text.count("unpacks") for text in said) == 1
    assert [text.split()[-1] for text in said] == [image.id] * 6


def test_a_lease_of_another_process_counts_until_it_dies(store: ImageStore, others: Others) -> None:
    image_of(store, LAYER, reference="a")
    process = others.stop_at("hold")
    with pytest.raises(ImageInUse):
        store.remove("a", force=True)
    process.kill()
    process.wait()
    assert store.remove("a").images


def test_a_store_survives_processes_that_are_killed_at_any_moment(
    store: ImageStore, others: Others
) -> None:
    for _ in range(12):
        group = [others.start("churn") for _ in range(2)]
        for process in group:
            others.go(process)
        for process in group:
            # Wait for none of its own doing: this is the random moment.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.15)
            process.kill()
            process.wait()
    for image in ImageStore(store.root).list():
        count = sum(1 for path in image.rootfs.rglob("*") if path.is_file())
        assert count % 50 == 0
        assert count
        assert count == 50 * len(image.layers)
        assert all(store.blobs.has(layer.digest) for layer in image.layers)
    store.recover()
    kept = {path.name for path in (store.root / "rootfs").iterdir()}
    assert kept == {image.id[7:] for image in store.list()}
    store.prune(all=True)
    assert is_clean(store)
    assert image_of(store, *NUMBERED, reference="after").size == 4 * 50 * 500


def skopeo(*words: object) -> str:
    command = [require("skopeo"), "--insecure-policy", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_skopeo_reads_our_archives_as_docker_and_as_oci(store: ImageStore, tmp_path: Path) -> None:
    image = image_of(store, LAYER, *NUMBERED, reference="boat:1", Cmd=["/x"], Env=["A=1"])
    save(store, ["boat:1"], path=tmp_path / "ours.tar")
    for kind, name in (("oci-archive", "docker.io/library/boat:1"), ("docker-archive", "boat:1")):
        seen = json.loads(skopeo("inspect", "--config", f"{kind}:{tmp_path}/ours.tar:{name}"))
        assert seen["config"] == {"Cmd": ["/x"], "Env": ["A=1"]}
        assert len(seen["rootfs"]["diff_ids"]) == len(image.layers)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("docker-archive:{}/theirs:docker.io/library/boat:2", ()),
        ("oci-archive:{}/theirs:boat:2", ()),
        ("oci:{}/theirs:boat:2", ()),
        ("oci-archive:{}/theirs:boat:2", ("--dest-compress-format", "zstd", "--dest-compress")),
    ],
)
def test_what_skopeo_writes_is_read(
    target: str, options: Sequence[str], store: ImageStore, tmp_path: Path
) -> None:
    image = image_of(store, LAYER, *NUMBERED, reference="boat:1", Cmd=["/x"])
    save(store, ["boat:1"], path=tmp_path / "ours.tar")
    source = f"oci-archive:{tmp_path}/ours.tar"
    skopeo("copy", *options, source, target.format(tmp_path))
    [back] = load(ImageStore(tmp_path / "other"), tmp_path / "theirs")
    assert back.references == ("docker.io/library/boat:2",)
    assert back.config == image.config
    assert tree_of(back.rootfs) == tree_of(image.rootfs)


def tree_of(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what is below a root: kinds, modes, times, content, and which are hard links."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        there, name = path.lstat(), str(path.relative_to(root))
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        alias = first.setdefault(there.st_ino, name) if not path.is_dir() else name
        found[name] = (there.st_mode, int(there.st_mtime), content, alias)
    return found


@pytest.mark.parametrize("format", ["gnu", "pax", "ustar"])
def test_a_real_tree_is_unpacked_as_gnu_tar_does(format: str, tmp_path: Path) -> None:  # noqa: A002
    require("tar")
    source = tmp_path / "source"
    for number in range(120):
        path = source / f"d{number % 7}" / f"sub{number % 3}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 97))
        path.chmod((0o644, 0o755, 0o4755, 0o400)[number % 4])
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
        if number % 10 == 0:
            (path.parent / f"hard-{number}").hardlink_to(path)
            (path.parent / f"soft-{number}").symlink_to(path.name)
    (source / "d1").chmod(0o2775)
    archive = tmp_path / "a.tar"
    options = [f"--format={format}", "--numeric-owner", "-C", str(source)]
    subprocess.run(["tar", "-cf", archive, *options, "."], check=True)
    (tmp_path / "theirs").mkdir()
    subprocess.run(["tar", "-xpf", archive, "-C", tmp_path / "theirs"], check=True)
    apply(tmp_path / "ours", archive.read_bytes())
    assert tree_of(tmp_path / "ours") == tree_of(tmp_path / "theirs")


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


def test_unpacking_holds_its_own_against_gnu_tar(tmp_path: Path) -> None:
    """Not a benchmark: it notices a change that makes us several times slower."""
    require("tar")
    source = tmp_path / "source"
    for number in range(600):
        path = source / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(8000) + os.urandom(2000))
    archive = tmp_path / "a.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", source, "."], check=True)
    packed = archive.read_bytes()
    plain = subprocess.run(["gzip", "-dc", archive], capture_output=True, check=True).stdout
    ratios = []
    for turn in range(3):
        start = time.perf_counter()
        apply(tmp_path / f"ours{turn}", packed, plain=[plain])
        ours = time.perf_counter() - start
        (tmp_path / f"theirs{turn}").mkdir()
        start = time.perf_counter()
        subprocess.run(["tar", "-xzf", archive, "-C", tmp_path / f"theirs{turn}"], check=True)
        ratios.append(ours / (time.perf_counter() - start))
    assert min(ratios) < 4


def test_an_ordinary_user_can_unpack_and_remove_an_image_of_root(
    store: ImageStore, tmp_path: Path
) -> None:
    layer = tar(
        directory("root", 0o700, uid=0),
        entry("root/secret", b"x", mode=0o000, uid=0),
        directory("locked", 0o000, uid=5),
        entry("locked/f", b"x", mode=0o4755, uid=5, gid=6),
    )
    image = image_of(store, layer, reference="a")
    there = (image.rootfs / "locked/f").stat()
    assert (there.st_uid, there.st_gid) == (os.getuid(), os.getgid())
    assert stat.S_IMODE(there.st_mode) == 0o4755
    assert (image.rootfs / "root/secret").read_bytes() == b"x"
    store.remove("a")
    assert is_clean(store)
