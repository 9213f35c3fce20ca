"""Images of this machine's programs: what is taken along, and what is refused."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from tests.support.busybox import busybox

from wherry.errors import ImageError, UsageError
from wherry.images import linking
from wherry.images.elf import read_elf
from wherry.images.fromhost import from_host
from wherry.images.linking import libraries
from wherry.images.model import ImageConfig
from wherry.images.store import ImageStore


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def elf(
    *needed: str, interpreter: str = "", runpath: str = "", rpath: str = "", machine: int = 62
) -> bytes:
    """Return the smallest 64-bit ELF file that says these things; nothing could run it."""
    strings = b"\0"
    dynamic = b""
    for tag, names in ((1, needed), (29, (runpath,)), (15, (rpath,))):
        for name in filter(None, names):
            dynamic += struct.pack("<QQ", tag, len(strings))
            strings += name.encode() + b"\0"
    texts = interpreter.encode() + b"\0"
    start = 64 + 3 * 56
    at_texts, at_strings = start, start + len(texts)
    at_dynamic = at_strings + len(strings)
    dynamic += struct.pack("<QQQQQQ", 5, at_strings, 10, len(strings), 0, 0)
    size = at_dynamic + len(dynamic)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    segments = [
        (1, 0, size),
        (3 if interpreter else 0, at_texts, len(texts)),
        (2, at_dynamic, len(dynamic)),
    ]
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, offset, offset, 0, length, length, 1)
        for kind, offset, length in segments
    )
    return head + table + texts + strings + dynamic


def program(path: Path, data: bytes | str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)
    return path


def contents(image_rootfs: Path) -> set[str]:
    return {
        f"/{path.relative_to(image_rootfs)}"
        for path in image_rootfs.rglob("*")
        if not path.is_dir()
    }


def test_a_static_program_comes_alone(store: ImageStore) -> None:
    image = from_host(store, "box", programs=[str(busybox())])
    real = os.path.realpath(busybox())
    assert contents(image.rootfs) >= {real, "/etc/passwd", "/etc/group"}
    assert not [path for path in contents(image.rootfs) if ".so" in path]
    assert image.config.cmd == (str(busybox()),)
    assert (image.rootfs / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_the_same_files_give_the_same_digest(tmp_path: Path) -> None:
    images = [
        from_host(ImageStore(tmp_path / name), "box", programs=[str(busybox())])
        for name in ("one", "two")
    ]
    assert images[0].digest == images[1].digest


def test_programs_are_found_on_the_path_by_name(store: ImageStore, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "tool", busybox().read_bytes())
    image = from_host(store, "box", programs=["tool"], search=str(tmp_path / "bin"))
    assert image.config.cmd == (f"{tmp_path}/bin/tool",)
    assert image.config.env["PATH"].endswith(f":{tmp_path}/bin")


def test_every_link_on_the_way_to_a_program_is_kept(store: ImageStore, tmp_path: Path) -> None:
    program(tmp_path / "opt" / "v1" / "real", busybox().read_bytes())
    (tmp_path / "opt" / "current").symlink_to("v1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "second").symlink_to(tmp_path / "opt" / "current" / "real")
    (tmp_path / "bin" / "first").symlink_to("../bin/second")
    image = from_host(store, "box", programs=[str(tmp_path / "bin" / "first")])
    inside = image.rootfs / str(tmp_path).lstrip("/")
    assert (inside / "bin/first").readlink() == Path("../bin/second")
    assert (inside / "bin/second").readlink() == tmp_path / "opt/current/real"
    assert (inside / "opt/current").readlink() == Path("v1")
    assert (inside / "opt/v1/real").stat().st_mode & 0o777 == 0o755


def test_a_script_brings_its_interpreter(store: ImageStore, tmp_path: Path) -> None:
    shell = program(tmp_path / "shell", busybox().read_bytes())
    inner = program(tmp_path / "inner", f"#!{shell} -x\n")
    script = program(tmp_path / "script", f"#! {inner}\necho hello\n")
    image = from_host(store, "box", programs=[str(script)])
    assert contents(image.rootfs) >= {str(shell), str(inner), str(script)}


def test_a_script_that_asks_env_brings_both(store: ImageStore, tmp_path: Path) -> None:
    env = program(tmp_path / "env", busybox().read_bytes())
    program(tmp_path / "bin" / "lang", busybox().read_bytes())
    script = program(tmp_path / "script", f"#!{env} -S A=1 lang -u\n")
    image = from_host(store, "box", programs=[str(script)], search=str(tmp_path / "bin"))
    assert contents(image.rootfs) >= {str(env), f"{tmp_path}/bin/lang"}


def test_scripts_that_interpret_each_other_end(store: ImageStore, tmp_path: Path) -> None:
    script = program(tmp_path / "script", f"#!{tmp_path}/script\n")
    with pytest.raises(UsageError, match="an interpreter of an interpreter"):
        from_host(store, "box", programs=[str(script)])


def test_files_and_trees_come_along(store: ImageStore, tmp_path: Path) -> None:
    tree = tmp_path / "lib"
    module = program(tree / "pkg" / "module.py", "print()", 0o600)
    os.utime(module, (1_600_000_000.5, 1_600_000_000.5))
    (tree / "empty").mkdir()
    (tree / "dangling").symlink_to("nowhere")
    (tree / "module").symlink_to("pkg/module.py")
    (tree / "directory").symlink_to("pkg")
    program(tree / "broken.so", b"\x7fELF" + bytes(100))
    os.mkfifo(tree / "pipe")
    data = program(tmp_path / "data", "content", 0o644)
    image = from_host(
        store, "box", programs=[], files={"/etc/conf/x": data}, trees=[tree],
        config=ImageConfig(entrypoint=("/run-me",), labels={"a": "b"}),
    )  # fmt: skip
    inside = image.rootfs / str(tree).lstrip("/")
    assert (image.rootfs / "etc/conf/x").read_text() == "content"
    assert (inside / "pkg/module.py").stat().st_mtime == 1_600_000_000
    assert (inside / "pkg/module.py").stat().st_mode & 0o777 == 0o644
    assert (inside / "empty").is_dir()
    assert [str((inside / name).readlink()) for name in ("dangling", "module", "directory")] == [
        "nowhere",
        "pkg/module.py",
        "pkg",
    ]
    assert not (inside / "pipe").exists()
    assert (image.config.entrypoint, image.config.cmd) == (("/run-me",), ())


def test_what_cannot_be_had_is_named(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one program"):
        from_host(store, "box", programs=[])
    with pytest.raises(UsageError, match="program 'no-such-program' is not on"):
        from_host(store, "box", programs=["no-such-program"])
    with pytest.raises(UsageError, match=r"program '\./nowhere' is not on"):
        from_host(store, "box", programs=["./nowhere"])
    with pytest.raises(UsageError, match=r"file '/a/\.\./b'"):
        from_host(store, "box", programs=[], files={"/a/../b": tmp_path})
    with pytest.raises(UsageError, match="no regular file"):
        from_host(store, "box", programs=[], files={"/a": tmp_path})
    with pytest.raises(UsageError, match="is no directory"):
        from_host(store, "box", programs=[], trees=[tmp_path / "nowhere"])
    script = program(tmp_path / "script", "#!/no/such/interpreter\n")
    with pytest.raises(UsageError, match="'/no/such/interpreter' cannot be read"):
        from_host(store, "box", programs=[str(script)])
    assert store.list() == []


def test_a_library_that_is_missing_is_named(store: ImageStore, tmp_path: Path) -> None:
    path = program(tmp_path / "p", elf("libnowhere.so.1", interpreter="/lib64/ld-linux.so.2"))
    with pytest.raises(ImageError, match=r"needs 'libnowhere\.so\.1', which is not"):
        from_host(store, "box", programs=[str(path)])


def found(path: Path) -> list[str]:
    return [library.path for library in libraries(str(path))]


def test_runpath_counts_for_the_object_that_has_it_and_origin_is_its_place(tmp_path: Path) -> None:
    path = program(tmp_path / "bin" / "p", elf("a.so", runpath="$ORIGIN/../lib:/nowhere"))
    a = program(tmp_path / "lib" / "a.so", elf("b.so", runpath="${ORIGIN}/deep"))
    b = program(tmp_path / "lib" / "deep" / "b.so", elf())
    assert found(path) == [str(a), str(b)]
    program(tmp_path / "lib" / "a.so", elf("c.so"))
    program(tmp_path / "lib" / "c.so", elf())
    with pytest.raises(ImageError, match=r"c\.so"):
        found(path)


def test_rpath_counts_for_all_that_is_loaded_below(tmp_path: Path) -> None:
    path = program(tmp_path / "p", elf("a.so", rpath=f"{tmp_path}/lib"))
    a = program(tmp_path / "lib" / "a.so", elf("b.so"))
    b = program(tmp_path / "lib" / "b.so", elf("a.so"))
    assert found(path) == [str(a), str(b)]


def test_a_library_for_another_machine_is_passed_over(tmp_path: Path) -> None:
    path = program(tmp_path / "p", elf("a.so", runpath=f"{tmp_path}/arm:{tmp_path}/x86"))
    program(tmp_path / "arm" / "a.so", elf(machine=183))
    right = program(tmp_path / "x86" / "a.so", elf())
    assert found(path) == [str(right)]


def test_the_cache_of_ld_so_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = program(tmp_path / "away" / "a.so", elf())
    names = [b"a.so\0", os.fsencode(away) + b"\0", b"/for/a/special/cpu/a.so\0"]
    strings = 48 + 2 * 24
    offsets = [strings + sum(map(len, names[:number])) for number in range(3)]
    cache = b"glibc-ld.so.cache1.1" + struct.pack(
        "=IIBxxxIIII", 2, sum(map(len, names)), 0, 0, 0, 0, 0
    )
    cache += struct.pack("=iIIIQ", 3, offsets[0], offsets[2], 0, 1 << 62)
    cache += struct.pack("=iIIIQ", 3, offsets[0], offsets[1], 0, 0)
    (tmp_path / "cache").write_bytes(b"an older cache may come first" + cache + b"".join(names))
    monkeypatch.setattr(linking, "_CACHE", str(tmp_path / "cache"))
    path = program(tmp_path / "p", elf("a.so"))
    assert libraries(str(path)) == [linking.Library("a.so", str(away), by_cache=True)]


def test_musl_is_its_own_c_library(tmp_path: Path) -> None:
    interpreter = program(tmp_path / "ld-musl-x86_64.so.1", elf())
    path = program(tmp_path / "p", elf("libc.so", interpreter=str(interpreter)))
    assert found(path) == [str(interpreter)]


def test_what_is_no_program_has_no_libraries(tmp_path: Path) -> None:
    for data in (b"", b"text", b"\x7fELF", elf()[:16] + b"\x01\x00" + elf()[18:]):
        assert read_elf(str(program(tmp_path / "x", data))) is None


def test_a_broken_elf_file_is_an_image_error_and_nothing_else(tmp_path: Path) -> None:
    dice = random.Random(1)
    whole = elf("a.so", interpreter="/lib/ld.so", runpath="$ORIGIN")
    path = tmp_path / "x"
    refused = 0
    for _ in range(2000):
        data = bytearray(whole[: dice.choice([len(whole), dice.randrange(64, len(whole))])])
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(16, len(data))] = dice.choice([0, 1, 0x7F, 0xFF])
        path.write_bytes(data)
        try:
            read_elf(str(path))
        except ImageError:
            refused += 1
    assert refused > 500
