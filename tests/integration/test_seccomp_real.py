"""The filter in a real kernel: what it stops, and that ordinary programs do not notice it."""

import json
import platform
import signal
from functools import cache

import pytest
from tests.support import bwrap
from tests.support.require import missing, require

from wherry.engines.local.seccomp import filter_program
from wherry.engines.local.syscalls import Machine, syscall_numbers

NEWUSER, NEWNS = 0x10000000, 0x20000
PROBES = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
answers = {}
for label, number, args in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, args))
    answers[label] = ctypes.get_errno() if result == -1 else 0
print(json.dumps(answers))
"""


@cache
def machine() -> Machine:
    known: dict[str, Machine] = {"x86_64": "x86_64", "aarch64": "aarch64"}
    found = known.get(platform.machine())
    if found is None:
        missing(f"a filter for machine {platform.machine()}")
    return found


def probe(*calls: tuple[str, tuple[int, ...]], filtered: bool = True) -> dict[str, int]:
    numbers = syscall_numbers(machine())
    wanted = [[f"{name}{args}", numbers[name], args] for name, args in calls]
    done = bwrap.run(
        bwrap.PYTHON,
        "-ISBc",
        PROBES,
        json.dumps(wanted),
        seccomp=filter_program() if filtered else None,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, int] = json.loads(done.stdout)
    return answers


DENIED = [
    ("unshare", (NEWUSER,)),
    ("setns", (0, 0)),
    ("mount", (0, 0, 0, 0, 0)),
    ("umount2", (0, 0)),
    ("pivot_root", (0, 0)),
    ("fsopen", (0, 0)),
    ("open_tree", (0, 0, 0)),
    ("move_mount", (0, 0, 0, 0, 0)),
    ("bpf", (0, 0, 0)),
    ("perf_event_open", (0, 0, 0, 0, 0)),
    ("userfaultfd", (0,)),
    ("keyctl", (0, 0, 0, 0, 0)),
    ("add_key", (0, 0, 0, 0, 0)),
    ("request_key", (0, 0, 0, 0)),
    ("kexec_load", (0, 0, 0, 0)),
    ("init_module", (0, 0, 0)),
    ("finit_module", (0, 0, 0)),
    ("ptrace", (0, 0, 0, 0)),
    ("process_vm_readv", (0, 0, 0, 0, 0, 0)),
    ("io_uring_setup", (0, 0)),
    ("open_by_handle_at", (0, 0, 0)),
    ("quotactl", (0, 0, 0, 0)),
    ("swapon", (0, 0)),
    ("reboot", (0, 0, 0, 0)),
    ("sethostname", (0, 0)),
    ("settimeofday", (0, 0)),
    ("clock_settime", (0, 0)),
    ("acct", (0,)),
    ("chroot", (0,)),
    ("syslog", (3, 0, 0)),
    ("socket", (40, 1, 0)),
    ("socket", (38, 5, 0)),
    ("socket", (17, 3, 0)),
    ("socketpair", (30, 1, 0, 0)),
    ("ioctl", (0, 0x5412, 0)),
    ("ioctl", (0, 0xDEAD_BEEF_0000_5412, 0)),
    ("ioctl", (0, 0x541C, 0)),
    ("personality", (0x0040000,)),
    ("clone", (17 | NEWUSER, 0, 0, 0, 0)),
    ("clone", (17 | NEWNS, 0, 0, 0, 0)),
    ("mknodat", (0, 0, 0o20666, 0x103)),
]
ABSENT = [("clone3", (0, 0)), ("statmount", (0, 0, 0, 0))]


def test_the_kernel_answers_what_the_filter_says() -> None:
    answers = probe(*DENIED, *ABSENT, ("personality", (0xFFFFFFFF,)), ("getpid", ()))
    expected = {f"{name}{args}": 1 for name, args in DENIED}
    expected |= {f"{name}{args}": 38 for name, args in ABSENT}
    assert answers == expected | {"personality(4294967295,)": 0, "getpid()": 0}


def test_without_the_filter_the_same_sandbox_lets_some_of_it_through() -> None:
    calls = [("unshare", (NEWUSER,)), ("personality", (0x40000,)), ("socket", (16, 3, 0))]
    answers = probe(*calls, ("keyctl", (0, -3 % 2**64, 1)), filtered=False)
    assert set(answers.values()) == {0}


def test_a_call_newer_than_the_table_is_not_there() -> None:
    script = """
    import ctypes, errno
    libc = ctypes.CDLL(None, use_errno=True)
    for number in (600, 999, 0x40000027):
        assert libc.syscall(ctypes.c_long(number)) == -1
        assert ctypes.get_errno() == errno.ENOSYS, (number, ctypes.get_errno())
    """
    done = bwrap.run_python(script, seccomp=filter_program())
    assert (done.returncode, done.stderr) == (0, "")


def test_an_i386_call_ends_the_process_at_once() -> None:
    if machine() != "x86_64":
        missing("an x86-64 machine, which has i386 calls")
    script = r"""
    import ctypes, mmap
    getpid_of_i386 = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(getpid_of_i386)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    print(ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0, flush=True)
    """
    free, filtered = (bwrap.run_python(script, seccomp=s) for s in (None, filter_program()))
    assert filtered.stdout == ""
    # A kernel without 32-bit calls has no such gate, and ends it with SIGSEGV by itself.
    expected = signal.SIGSYS if free.returncode == 0 else signal.SIGSEGV
    assert filtered.returncode in (128 + expected, -expected)


def test_busybox_and_its_shell_work_under_the_filter() -> None:
    busybox = require("busybox")
    script = (
        "set -e; cd /tmp; mkdir a; echo hello | tr a-z A-Z > a/b; mkfifo p; (cat a/b > p &) ; "
        "cat p; cp a/b c; ln -s c d; sort d | md5sum | cut -c1-6; find . | wc -l; ps | grep -c sh; "
        "timeout 5 sleep 0.01; tar c a | tar t; date >&2; trap 'echo got' USR1; kill -USR1 $$"
    )
    done = bwrap.run(busybox, "sh", "-c", script, seccomp=filter_program())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "HELLO"
    assert done.stdout.splitlines()[-1] == "got"


PROGRAMS = {
    "threads": """
        import threading
        seen = []
        threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(20)]
        [t.start() for t in threads]; [t.join() for t in threads]
        assert sorted(seen) == list(range(20))
    """,
    "multiprocessing": """
        import multiprocessing, os
        context = multiprocessing.get_context("fork")
        with context.Pool(3) as pool:
            assert pool.map(abs, range(-50, 0)) == list(range(50, 0, -1))
        lock = context.Lock()
        with lock: pass
    """,
    "asyncio": """
        import asyncio, sys
        async def main():
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-ISBc", "print(input()[::-1])", stdin=-1, stdout=-1)
            out, _ = await child.communicate(b"abc\\n")
            assert out == b"cba\\n", out
            server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close(); server.close()
            await asyncio.to_thread(sum, [1])
        asyncio.run(main())
    """,
    "subprocess and files": """
        import os, shutil, subprocess, sys, tempfile, sqlite3, mmap
        with tempfile.TemporaryDirectory() as d:
            os.mkfifo(d + "/p"); os.symlink("p", d + "/l"); os.chmod(d, 0o700)
            open(d + "/f", "wb").write(os.urandom(100_000))
            shutil.copyfile(d + "/f", d + "/g"); os.statvfs(d)
            with sqlite3.connect(d + "/db") as db: db.execute("create table t (x)")
            with open(d + "/f", "r+b") as f, mmap.mmap(f.fileno(), 0) as m: m[0] = 1
        assert subprocess.run([sys.executable, "-ISBc", ""]).returncode == 0
    """,
    "sockets": """
        import select, socket
        a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
            socket.socket(family, socket.SOCK_DGRAM).close()
        assert socket.if_nameindex()[0][1] == "lo"
        assert socket.getaddrinfo("127.0.0.1", 80)
        poll = select.epoll(); poll.register(a); poll.poll(0)
    """,
    "signals and time": """
        import os, resource, signal, time
        signal.signal(signal.SIGALRM, lambda *a: None)
        signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.02)
        os.sched_setaffinity(0, os.sched_getaffinity(0)); os.nice(0); os.getloadavg()
        resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
        fd = os.pidfd_open(os.getpid()); signal.pidfd_send_signal(fd, 0)
        os.memfd_create("x"); os.getrandom(8); os.uname()
    """,
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_python_works_under_the_filter(what: str) -> None:
    done = bwrap.run_python(PROGRAMS[what], seccomp=filter_program())
    assert (done.returncode, done.stderr) == (0, "")


def test_the_filter_holds_for_children_and_cannot_be_taken_back() -> None:
    script = """
    import ctypes, errno, os
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        failed = libc.unshare(0x10000000) == -1 and ctypes.get_errno() == errno.EPERM
        os._exit(0 if failed else 1)
    assert os.waitpid(child, 0)[1] == 0
    status = dict(line.split(":\\t") for line in open("/proc/self/status") if ":\\t" in line)
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    """
    done = bwrap.run_python(script, seccomp=filter_program())
    assert (done.returncode, done.stderr) == (0, "")
