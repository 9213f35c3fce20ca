"""The wall in bubblewrap's words: complete, in order, and telling nobody's secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.local_plans import planned, small_rootfs

from wherry.engines.local import arguments
from wherry.engines.local.arguments import Descriptors
from wherry.errors import UsageError
from wherry.models import File, Mount, Secret

if TYPE_CHECKING:
    from wherry.engines.local.plan import Plan

SCRATCH = Path("/scratch")


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return small_rootfs(tmp_path / "rootfs")


@pytest.fixture
def descriptors() -> Iterator[Descriptors]:
    descriptors = Descriptors()
    yield descriptors
    descriptors.close()


def built(plan: Plan, descriptors: Descriptors, *, resolv_conf: bytes | None = None) -> list[str]:
    return arguments.build(
        plan,
        {"PATH": "/bin"},
        hostname="ferry",
        scratch=SCRATCH,
        resolv_conf=resolv_conf,
        descriptors=descriptors,
    )


def after(words: list[str], option: str) -> list[str]:
    """Return the word that follows each use of an option."""
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def place(words: list[str], *run: str) -> int:
    """Return where a run of words begins; it is to be there once."""
    size = len(run)
    places = [at for at in range(len(words)) if words[at : at + size] == list(run)]
    assert len(places) == 1, (run, places)
    return places[0]


def test_no_wall_is_ever_missing(rootfs: Path, descriptors: Descriptors) -> None:
    words = built(planned(rootfs, "true"), descriptors)
    for option in ("--unshare-all", "--unshare-user", "--disable-userns", "--clearenv",
                   "--assert-userns-disabled", "--new-session", "--die-with-parent"):  # fmt: skip
        place(words, option)
    place(words, "--cap-drop", "ALL")
    assert "--share-net" not in words
    assert after(words, "--proc") == ["/proc"]
    assert after(words, "--dev-bind") == [str(SCRATCH / "dev")]
    assert place(words, "--proc", "/proc") < place(words, "--remount-ro", "/proc")
    assert place(words, str(SCRATCH / "empty"), "/proc/1") < words.index("--dev-bind")
    assert "--bind-data" not in words
    assert words[-2:] == ["--chdir", "/"]


def test_of_proc_only_what_root_alone_may_use_is_not_hidden(
    rootfs: Path, descriptors: Descriptors
) -> None:
    words = built(planned(rootfs, "true"), descriptors)
    masks = ("/dev/null", str(SCRATCH / "empty"))
    hidden = {path for at, path in enumerate(words) if words[at - 1] in masks}
    assert "/proc/1" in hidden
    for name in ("kcore", "keys", "key-users", "interrupts", "timer_list", "latency_stats",
                 "sched_debug", "sysrq-trigger", "kmsg", "acpi", "asound", "scsi"):  # fmt: skip
        path = Path("/proc", name)
        if path.exists() and f"/proc/{name}" not in hidden:
            assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (0, 0), name


def test_a_source_that_became_a_fifo_is_refused_and_not_waited_for(
    rootfs: Path, descriptors: Descriptors, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"")
    plan = planned(rootfs, "true", files=(File(target="/in", source=str(source)),))
    source.unlink()
    os.mkfifo(source)
    with pytest.raises(UsageError, match=r"'/in': source .* is no regular file any more"):
        built(plan, descriptors)


def test_only_the_image_and_the_scratch_file_system_are_mounted_unasked(
    rootfs: Path, descriptors: Descriptors
) -> None:
    for read_only in (False, True):
        words = built(planned(rootfs, "true", read_only=read_only), descriptors)
        sources = after(words, "--bind") + after(words, "--ro-bind") + after(words, "--overlay-src")
        outside = {source for source in sources if not source.startswith(str(SCRATCH))}
        assert outside == {str(rootfs), "/dev/null"}


def test_only_the_hosts_network_is_shared_and_only_on_demand(
    rootfs: Path, descriptors: Descriptors
) -> None:
    for network in ("none", "private"):
        assert "--share-net" not in built(planned(rootfs, "x", network=network), descriptors)
    assert "--share-net" in built(planned(rootfs, "x", network="host"), descriptors)


def test_the_root_becomes_read_only_after_everything_was_put_into_it(
    rootfs: Path, descriptors: Descriptors
) -> None:
    plan = planned(
        rootfs, "true", read_only=True, files=(File(target="/in", data=b""),),
        mounts=(Mount(target="/cache", type="tmpfs"),),
        secrets=(Secret(name="key", value=b""),),
    )  # fmt: skip
    words = built(plan, descriptors)
    last = place(words, "--remount-ro", "/")
    assert words[last:] == ["--remount-ro", "/", "--chdir", "/"]
    assert words[(at := words.index("/tmp") - 2) : at + 3] == ["--bind", "/scratch/tmp", "/tmp"]
    assert "--remount-ro" not in built(planned(rootfs, "true"), descriptors)[-6:]


def test_secrets_are_in_no_word_and_their_file_system_cannot_be_written(
    rootfs: Path, descriptors: Descriptors, tmp_path: Path
) -> None:
    (tmp_path / "path").write_bytes(b"from-a-path")
    secrets = (
        Secret(name="one", value=b"from-a-value"),
        Secret(name="two", path=str(tmp_path / "path")),
    )
    words = built(planned(rootfs, "true", secrets=secrets), descriptors)
    assert not [word for word in words if "from-a-" in word]
    mounted = place(words, "--tmpfs", "/run/secrets")
    one, two = (words.index(f"/run/secrets/{name}") for name in ("one", "two"))
    assert mounted < one < two < place(words, "--remount-ro", "/run/secrets")
    assert words[one - 4 : one - 2] == ["--perms", "0400"]
    assert os.read(int(words[one - 1]), 99) == b"from-a-value"
    assert os.read(int(words[two - 1]), 99) == b"from-a-path"


def test_a_mount_is_read_only_and_bounded_unless_said_otherwise(
    rootfs: Path, descriptors: Descriptors, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(rootfs)
    mounts = (
        Mount(target="/a", source=str(tmp_path / "link")),
        Mount(target="/b", source=str(rootfs), read_only=False),
        Mount(target="/c", type="tmpfs"),
        Mount(target="/d", type="tmpfs", size=7),
    )
    words = built(planned(rootfs, "true", mounts=mounts), descriptors)
    place(words, "--ro-bind", str(rootfs), "/a")
    place(words, "--bind", str(rootfs), "/b")
    place(words, "--size", str(64 << 20), "--perms", "1777", "--tmpfs", "/c")
    place(words, "--size", "7", "--perms", "1777", "--tmpfs", "/d")


def test_names_are_written_unless_the_caller_gave_those_files(
    rootfs: Path, descriptors: Descriptors, tmp_path: Path
) -> None:
    words = built(planned(rootfs, "true"), descriptors, resolv_conf=b"nameserver 192.0.2.1\n")
    files = {words[at + 2]: int(words[at + 1]) for at, word in enumerate(words) if word == "--file"}
    assert os.read(files["/etc/hosts"], 999).decode().splitlines()[-1] == "127.0.1.1 ferry"
    assert os.read(files["/etc/resolv.conf"], 99) == b"nameserver 192.0.2.1\n"
    assert set(files) == {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    own = planned(rootfs, "true", files=(File(target="/etc/hosts", data=b"mine"),))
    words = built(own, descriptors)
    assert words.count("/etc/hosts") == 1
    bound = planned(rootfs, "true", mounts=(Mount(target="/etc", source=str(tmp_path)),))
    assert not [word for word in built(bound, descriptors) if word.startswith("/etc/")]


def test_every_descriptor_is_held_and_given_back(rootfs: Path) -> None:
    descriptors = Descriptors()
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    files = (File(target="/a", data=b"x" * 100_000), File(target="/b", data=b""))
    words = built(planned(rootfs, "true", files=files), descriptors)
    assert {int(fd) for fd in after(words, "--file")} == set(descriptors.numbers)
    assert min(descriptors.numbers) > 2
    descriptors.close()
    descriptors.close()
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_source_that_went_away_is_named(
    rootfs: Path, descriptors: Descriptors, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_text("")
    plan = planned(rootfs, "true", files=(File(target="/in", source=str(source)),))
    mounted = planned(rootfs, "true", mounts=(Mount(target="/in", source=str(source)),))
    source.unlink()
    with pytest.raises(UsageError, match=r"file '/in': source .* cannot be read: No such file"):
        built(plan, descriptors)
    with pytest.raises(UsageError, match=r"mount on '/in': source .* cannot be used: No such file"):
        built(mounted, descriptors)
