import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bpf_machine import (
    AARCH64,
    ALLOW,
    ENOSYS,
    EPERM,
    I386,
    KILL,
    X86_64,
    steps,
    verdict,
)
from tests.support.require import missing

from wherry.engines.local.bpf import Check, Rule, assemble, decision_tree
from wherry.engines.local.seccomp import filter_program, rules
from wherry.engines.local.syscalls import Machine, syscall_numbers
from wherry.errors import Unsupported

ARCHES: dict[Machine, int] = {"x86_64": X86_64, "aarch64": AARCH64}
MACHINES = list(ARCHES)
HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")

# Docker's default profile for a container without capabilities denies these, and those of the
# kernel's calls that it does not know.
_DOCKER_DENIES = """
_sysctl acct add_key afs_syscall bpf chroot clock_settime create_module delete_module fanotify_init
finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module
io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl
listns lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages
mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree open_tree_attr
perf_event_open pidfd_getfd pivot_root process_madvise putpmsg query_module quotactl quotactl_fd
reboot request_key security set_mempolicy set_mempolicy_home_node setdomainname sethostname setns
settimeofday swapoff swapon sysfs syslog tuxcall umount2 unshare uprobe uselib userfaultfd ustat
vhangup vserver
"""
_WE_DENY_TOO = """
epoll_ctl_old epoll_wait_old fanotify_mark get_thread_area modify_ldt process_vm_readv
process_vm_writev ptrace set_thread_area
"""
NOT_THERE = ["clone3", "file_getattr", "file_setattr", "listmount", "statmount"]
DEPENDS = ["clone", "ioctl", "mknod", "mknodat", "personality", "socket", "socketpair"]

HIGH = 0xDEAD_BEEF_0000_0000
NEWNS, NEWUSER, NEWNET, NEWPID = 0x20000, 0x10000000, 0x40000000, 0x20000000
THREAD_FLAGS = 0x3D0F00


def decide(machine: Machine, name: str, *args: int) -> int:
    number = syscall_numbers(machine)[name]
    return verdict(filter_program(machine), arch=ARCHES[machine], number=number, args=args)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_system_call_has_the_verdict_written_here(machine: Machine) -> None:
    expected = dict.fromkeys((_DOCKER_DENIES + _WE_DENY_TOO).split(), EPERM) | dict.fromkeys(
        NOT_THERE, ENOSYS
    )
    for name in set(syscall_numbers(machine)) - set(DEPENDS):
        assert decide(machine, name) == expected.get(name, ALLOW), name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("clone", (THREAD_FLAGS,), ALLOW),
        ("clone", (17,), ALLOW),
        ("clone", (17 | NEWNS,), EPERM),
        ("clone", (17 | NEWUSER,), EPERM),
        ("clone", (NEWNET | NEWPID,), EPERM),
        ("clone", (0x02000000,), EPERM),
        ("clone", (0x04000000,), EPERM),
        ("clone", (0x08000000,), EPERM),
        ("clone", (HIGH | 17,), ALLOW),
        ("clone", (HIGH | NEWUSER,), EPERM),
        ("personality", (0,), ALLOW),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x8,), ALLOW),
        ("personality", (0x20000,), ALLOW),
        ("personality", (0x20008,), ALLOW),
        ("personality", (0x0040000,), EPERM),
        ("personality", (0x0400000,), EPERM),
        ("personality", (0x0100000,), EPERM),
        ("socket", (1,), ALLOW),
        ("socket", (2,), ALLOW),
        ("socket", (10,), ALLOW),
        ("socket", (16,), ALLOW),
        ("socket", (40,), EPERM),
        ("socket", (HIGH | 40,), EPERM),
        ("socket", (38,), EPERM),
        ("socket", (15,), EPERM),
        ("socket", (17,), EPERM),
        ("socket", (30,), EPERM),
        ("socket", (0,), EPERM),
        ("socketpair", (1,), ALLOW),
        ("socketpair", (30,), EPERM),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), EPERM),
        ("ioctl", (0, 0x541C), EPERM),
        ("ioctl", (0, 0x5423), EPERM),
        ("ioctl", (0, HIGH | 0x5412), EPERM),
        ("ioctl", (0x5412, 0x5401), ALLOW),
        ("mknodat", (0, 0, 0o10644), ALLOW),
        ("mknodat", (0, 0, 0o644), ALLOW),
        ("mknodat", (0, 0, 0o140644), ALLOW),
        ("mknodat", (0, 0, 0o20666), EPERM),
        ("mknodat", (0, 0, 0o60666), EPERM),
    ],
)
def test_arguments_decide(
    machine: Machine, name: str, args: tuple[int, ...], expected: int
) -> None:
    assert decide(machine, name, *args) == expected


def test_a_device_cannot_be_made_by_the_old_call_either() -> None:
    assert decide("x86_64", "mknod", 0, 0o20666) == EPERM
    assert decide("x86_64", "mknod", 0, 0o10666) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("number", [0, 1, 59, 221, 11])
def test_a_call_of_another_architecture_ends_the_process(machine: Machine, number: int) -> None:
    program = filter_program(machine)
    others = {I386, X86_64, AARCH64, 0x40000028} - {ARCHES[machine]}
    assert {verdict(program, arch=other, number=number) for other in others} == {KILL}


@pytest.mark.parametrize(
    "number", [0x40000000, 0x40000001, 0x40000000 + 520, 0x400001FF, 2**32 - 1]
)
def test_the_x32_numbers_and_minus_one_are_not_there(number: int) -> None:
    assert verdict(filter_program("x86_64"), arch=X86_64, number=number) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_from_the_future_are_not_there_so_a_c_library_can_do_without(
    machine: Machine,
) -> None:
    newest = max(syscall_numbers(machine).values())
    for number in range(newest + 1, newest + 64):
        assert verdict(filter_program(machine), arch=ARCHES[machine], number=number) == ENOSYS


def by_the_table(table: dict[int, Rule], newest: int, number: int, args: tuple[int, ...]) -> int:
    if number > newest:
        return ENOSYS
    rule = table.get(number, EPERM)
    if isinstance(rule, Check):
        low = args[rule.argument] % 2**32 & rule.mask
        return rule.then if low in rule.among else rule.otherwise
    return rule


words = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 50),
    st.sampled_from([0x5412, 0x541C, 0x20008, NEWUSER, NEWNS | 17, 0o20000, 0o100000]),
)


@pytest.mark.parametrize("machine", MACHINES)
@given(
    number=st.one_of(
        st.integers(0, 600),
        st.integers(0, 600).map(lambda n: n | 0x40000000),
        st.integers(0, 2**32 - 1),
    ),
    args=st.tuples(words, words, words, words, words, words),
)
def test_the_tree_says_what_the_table_says(
    machine: Machine, number: int, args: tuple[int, ...]
) -> None:
    table, newest = rules(machine), max(syscall_numbers(machine).values())
    got = verdict(filter_program(machine), arch=ARCHES[machine], number=number, args=args)
    assert got == by_the_table(table, newest, number, args)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_tree_says_what_the_table_says_for_every_number_up_to_600(machine: Machine) -> None:
    table, newest = rules(machine), max(syscall_numbers(machine).values())
    program, none = filter_program(machine), (0,) * 6
    for number, x32 in product(range(601), (0, 0x40000000)):
        got = verdict(program, arch=ARCHES[machine], number=number | x32)
        assert got == by_the_table(table, newest, number | x32, none)


@given(st.lists(st.integers(1, 5000), unique=True, max_size=700), st.integers(0, 6000))
def test_a_tree_too_wide_for_short_jumps_is_right_too(firsts: list[int], number: int) -> None:
    spans: list[tuple[int, Rule]] = [(first, first) for first in [0, *sorted(firsts)]]
    program = assemble(decision_tree(spans))
    # The tree expects the number to be loaded already.
    program = b"\x20\0\0\0\0\0\0\0" + program
    assert verdict(program, arch=0, number=number) == max(f for f, _ in spans if f <= number)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_is_short_and_no_call_runs_through_all_of_it(machine: Machine) -> None:
    program = filter_program(machine)
    assert len(program) // 8 < 400
    longest = max(steps(program, arch=ARCHES[machine], number=number) for number in range(500))
    assert longest <= 24


def test_names_that_docker_uses_for_machines_mean_the_same() -> None:
    assert filter_program("amd64") == filter_program("x86_64")
    assert filter_program("arm64") == filter_program("aarch64")


def test_a_machine_without_a_table_is_refused_by_name() -> None:
    with pytest.raises(
        Unsupported, match=r"no seccomp filter for machine 'riscv64'.*aarch64, x86_64"
    ):
        filter_program("riscv64")


def test_the_numbers_are_those_of_the_kernels_headers() -> None:
    if not HEADER.exists():
        missing("the kernel's headers (linux-libc-dev)")
    found = re.findall(r"#define __NR_(\w+)\s+(\d+)", HEADER.read_text())
    ours = syscall_numbers("x86_64")
    # Headers newer than the table may have more: such a call is not there (ENOSYS).
    wrong = {n: v for n, v in found if n in ours and ours[n] != int(v)}
    unknown = {n: v for n, v in found if n not in ours and int(v) <= max(ours.values())}
    assert not wrong
    assert not unknown
    assert len(found) > 300


def test_the_numbers_of_aarch64_are_those_of_the_generic_headers() -> None:
    generic = Path("/usr/include/asm-generic/unistd.h")
    if not generic.exists():
        missing("the kernel's headers (linux-libc-dev)")
    text = re.sub(r"__NR(3264)?_", "__NR_", generic.read_text())
    found = {(n, int(v)) for n, v in re.findall(r"#define __NR_(\w+)[ \t]+(\d+)\n", text)}
    ours = syscall_numbers("aarch64")
    assert [n for n, v in ours.items() if v <= 450 and (n, v) not in found] == ["newfstatat"]
    assert ("fstatat", ours["newfstatat"]) in found
    only_32_bit = range(403, 424)
    known = {*ours.values(), *only_32_bit, *range(max(ours.values()) + 1, 1000)}
    assert {n for n, v in found if v not in known} <= {"syscalls", "arch_specific_syscall"}


def test_modern_calls_have_one_number_on_every_machine() -> None:
    x86, arm = syscall_numbers("x86_64"), syscall_numbers("aarch64")
    assert {n for n, v in x86.items() if v >= 424} == {n for n, v in arm.items() if v >= 424}
    assert all(arm[name] == number for name, number in x86.items() if number >= 424)
