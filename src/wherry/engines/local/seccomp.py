"""Which system calls a container's program may make.

An allow-list that is nowhere wider than Docker's default profile is for a container without
capabilities (moby/profiles, seccomp/default.json), and narrower where a function has no need.
What the list does not name fails with EPERM.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import cache

from wherry.engines.local.bpf import (
    ARCH_OFFSET,
    JUMP_EQUAL,
    LOAD,
    NUMBER_OFFSET,
    RETURN,
    Check,
    Instruction,
    Rule,
    Span,
    assemble,
    decision_tree,
)
from wherry.engines.local.syscalls import Machine, syscall_numbers
from wherry.errors import Unsupported

ALLOW = 0x7FFF_0000  # SECCOMP_RET_ALLOW
KILL = 0x8000_0000  # SECCOMP_RET_KILL_PROCESS
DENY = 0x0005_0000 | errno.EPERM  # SECCOMP_RET_ERRNO
ABSENT = 0x0005_0000 | errno.ENOSYS

_MACHINES: dict[str, Machine] = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
}
_AUDIT_ARCH: dict[Machine, int] = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

_FILES = """
access cachestat chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat
faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync
fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd
getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit lchown
lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir
mkdirat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
renameat2 rmdir sendfile setxattr setxattrat splice stat statfs statx symlink symlinkat sync
sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write
writev
"""
_MEMORY = """
brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
process_mrelease remap_file_pages
"""
# Not here though Docker has them: ptrace, process_vm_readv, process_vm_writev (on kernels from
# 4.8 on) and modify_ldt. A function is not debugged from within, and it is a lot of kernel.
_PROCESSES = """
arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait
futex_waitv futex_wake get_robust_list getcpu getegid geteuid getgid getgroups getpgid getpgrp
getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid gettid getuid
ioprio_get ioprio_set landlock_add_rule landlock_create_ruleset landlock_restrict_self prctl
prlimit64 restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid setresuid
setreuid setrlimit setsid setuid sysinfo times uname uretprobe vfork wait4 waitid
"""
_SIGNALS_AND_TIME = """
adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday kill
nanosleep pause pidfd_open pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack
signalfd signalfd4 tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime tkill
"""
_TALKING = """
accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
eventfd eventfd2 getpeername getsockname getsockopt listen mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd poll ppoll pselect6 recvfrom
recvmmsg recvmsg select semctl semget semop semtimedop sendmmsg sendmsg sendto setsockopt shmat
shmctl shmdt shmget shutdown
"""
# Programs go an older way when these are not there, but not when they are forbidden.
# clone3 keeps its flags in memory, where a filter cannot look.
_PRETENDED_ABSENT = "clone3 file_getattr file_setattr listmount statmount"

_NAMESPACES = (
    0x0002_0000  # CLONE_NEWNS
    | 0x0200_0000  # CLONE_NEWCGROUP
    | 0x0400_0000  # CLONE_NEWUTS
    | 0x0800_0000  # CLONE_NEWIPC
    | 0x1000_0000  # CLONE_NEWUSER
    | 0x2000_0000  # CLONE_NEWPID
    | 0x4000_0000  # CLONE_NEWNET
)
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
# PER_LINUX, PER_LINUX32 and both with UNAME26, and the question what it is now. The other bits
# switch protections off: ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, MMAP_PAGE_ZERO.
_PERSONALITIES = (0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
_PLAIN_FILES = (0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK)


def _only(argument: int, among: tuple[int, ...], *, mask: int = 0xFFFF_FFFF) -> Check:
    return Check(argument=argument, among=among, mask=mask, then=ALLOW, otherwise=DENY)


_CHECKS = {
    "clone": _only(0, (0,), mask=_NAMESPACES),
    # Typing into a terminal, and line disciplines, for which the kernel loads modules.
    "ioctl": Check(argument=1, among=(_TIOCSTI, _TIOCLINUX, _TIOCSETD), then=DENY, otherwise=ALLOW),
    "mknod": _only(1, _PLAIN_FILES, mask=0o170000),
    "mknodat": _only(2, _PLAIN_FILES, mask=0o170000),
    "personality": _only(0, _PERSONALITIES),
    # Not AF_VSOCK (the hypervisor), AF_ALG, AF_KEY, AF_PACKET and what nobody has heard of.
    "socket": _only(0, (_UNIX, _INET, _INET6, _NETLINK)),
    "socketpair": _only(0, (_UNIX,)),
}


def rules(machine: Machine) -> dict[int, Rule]:
    """Return what is not plainly denied, by the number of the system call."""
    allowed = (_FILES + _MEMORY + _PROCESSES + _SIGNALS_AND_TIME + _TALKING).split()
    named: dict[str, Rule] = dict.fromkeys(allowed, ALLOW)
    named |= dict.fromkeys(_PRETENDED_ABSENT.split(), ABSENT)
    named |= _CHECKS
    return {
        number: named[name] for name, number in syscall_numbers(machine).items() if name in named
    }


@cache
def filter_program(arch: str | None = None) -> bytes:
    """Return the filter for ``bwrap --seccomp FD``: an array of ``struct sock_filter``.

    `arch` is a machine's name (``uname -m``), this machine's when None. Calls of another
    architecture, such as those of an i386 program on x86-64, end the process; x32 calls and
    calls newer than we know are not there (ENOSYS), so that a C library does without. Raises
    :class:`Unsupported` for a machine whose system calls we have no table of.
    """
    name = os.uname().machine if arch is None else arch
    machine = _MACHINES.get(name)
    if machine is None:
        known = ", ".join(sorted(set(_MACHINES.values())))
        raise Unsupported(f"no seccomp filter for machine {name!r}; there is one for {known}")
    return assemble(
        [
            Instruction(LOAD, ARCH_OFFSET),
            Instruction(JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0),
            Instruction(RETURN, KILL),
            Instruction(LOAD, NUMBER_OFFSET),
            # Where the tree reaches a rule at once it reads the number only: the kernel then
            # keeps the verdict in a bitmap and does not run the program at all (from 5.11 on).
            *decision_tree(_spans(machine)),
        ]
    )


def _spans(machine: Machine) -> list[Span]:
    known = rules(machine)
    end = max(syscall_numbers(machine).values()) + 1
    every = [(number, known.get(number, DENY)) for number in range(end)]
    every.append((end, ABSENT))
    return [every[i] for i in range(len(every)) if i == 0 or every[i][1] != every[i - 1][1]]
