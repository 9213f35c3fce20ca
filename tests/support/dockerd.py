"""A Docker engine of the tests' own, which cannot touch the one of whoever runs them.

It lives in network, mount and pid namespaces of its own, with its own directories: the end of
the pid namespace's first process is the end of the daemon, containerd, every shim, container,
mount and network. Its TCP socket is made outside and handed in, so the network is real for the
tests and there is no way out for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.certificates import Certificates, make_certificates
from tests.support.docker_image import docker_archive
from tests.support.require import missing, require

_START = 60.0
_STOP = 20.0
_CLONE_NEWNET = 0x40000000
_NEEDED = ("dockerd", "containerd", "runc", "docker-init", "unshare", "nsenter", "setpriv")


CGROUPS = Path("/sys/fs/cgroup")
_GROUP = "wherry-test-"


def remove_group(group: Path) -> None:
    """Remove a control group with those below it."""
    for below in sorted(group.rglob("*/"), reverse=True):
        below.rmdir()
    group.rmdir()


def remove_leftovers(root: Path = CGROUPS) -> None:
    """Remove the empty control groups of runs that were killed before they could."""
    for group in _groups(root, prefix=_GROUP):
        pid = group.name.removeprefix(_GROUP).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):  # it is not empty, or another run was quicker
                remove_group(group)


def _groups(root: Path, *, prefix: str) -> list[Path]:
    """Return the groups whose name begins so; others may come and go meanwhile."""
    return [
        Path(above, name)
        for above, names, _ in os.walk(root)
        for name in names
        if name.startswith(prefix)
    ]


class Dockerd:
    """A private daemon on a Unix socket and on a TCP port of the loopback interface."""

    def __init__(self, directory: Path, *, tls: Certificates | None = None) -> None:
        self.directory = directory
        self.socket = directory / "docker.sock"
        self.tls = tls
        self.port = 0
        self.cgroup = f"{_GROUP}{os.getpid()}-{directory.name[-8:]}"
        self._space: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        (directory / "daemon.json").write_text("{}")

    @property
    def unix(self) -> str:
        return f"docker://{self.socket}"

    @property
    def tcp(self) -> str:
        """The address of the TCP port, with certificates when it speaks TLS."""
        if self.tls is None:
            return f"docker+tcp://127.0.0.1:{self.port}"
        query = f"ca={self.tls.ca}&cert={self.tls.cert}&key={self.tls.key}"
        return f"docker+tls://127.0.0.1:{self.port}?{query}"

    @property
    def pid(self) -> int:
        """The daemon's, as the tests see it."""
        assert self._daemon
        return _only_child(self._daemon.pid)

    @property
    def init(self) -> int:
        """The first process of the daemon's pid namespace."""
        assert self._space
        return _only_child(self._space.pid)

    def start(self) -> None:
        """Start the daemon, in namespaces that are made once, and wait until it answers."""
        if self._space is None:
            self._space = self._make_space()
        listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self.port = listener.getsockname()[1]
        with listener, (self.directory / "log").open("ab") as log:
            self._daemon = subprocess.Popen(
                ["nsenter", "-t", str(self.init), "-n", "-m", "-p", "sh", "-c", self._script()],
                env={"PATH": _path(), "HOME": str(self.directory)},
                stdin=listener.fileno(),
                stdout=log,
                stderr=log,
            )
        self._await_answer()

    def kill(self) -> None:
        """End the daemon alone, as a crash would; its containers are not told."""
        assert self._daemon
        os.kill(self.pid, signal.SIGKILL)
        self._daemon.wait(_STOP)

    def freeze(self, *, frozen: bool) -> None:
        """Stop the daemon without ending it, or let it go on."""
        assert self._daemon
        os.kill(self.pid, signal.SIGSTOP if frozen else signal.SIGCONT)
        if not frozen:  # nsenter stops with its child, and would never reap it
            os.kill(self._daemon.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End the daemon and everything of it."""
        if self._daemon is not None and self._daemon.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(_STOP)
        if self._space is not None:
            self._space.kill()
            self._space.wait(_STOP)
        if self._daemon is not None:
            self._daemon.wait(_STOP)
        for group in _groups(CGROUPS, prefix=self.cgroup):
            remove_group(group)

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Ask the daemon directly: what a test wants to know without the engine under test."""
        connection = _Connection(self.socket)
        try:
            headers = {"Content-Type": "application/x-tar"} if body else {}
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        assert answer.status < 400, data
        return data

    def listen(self, port: int) -> socket.socket:
        """Return a socket of ours that listens on the loopback of the daemon's network."""
        made: list[socket.socket] = []

        def make() -> None:
            with Path(f"/proc/{self.init}/ns/net").open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.create_server(("127.0.0.1", port)))

        # A namespace is a thread's own; a socket stays in the one where it was made.
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def _make_space(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork",
             "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c",
             "ip link set lo up && echo up && exec docker-init -- sleep infinity"],
            env={"PATH": _path()}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout
        with process.stdout as told:
            assert told.readline() == b"up\n"
        return process

    def _script(self) -> str:
        directory = self.directory
        options = [
            f"--data-root {directory}/data",
            f"--exec-root {directory}/exec",
            f"--pidfile {directory}/pid",
            f"--config-file {directory}/daemon.json",
            f"--host unix://{self.socket}",
            "--host fd://",
            "--bip 172.30.77.1/24 --iptables=false --ip6tables=false --ip-masq=false",
            f"--cgroup-parent /{self.cgroup}",
        ]
        if self.tls:
            options.append(
                f"--tlsverify --tlscacert {self.tls.ca} --tlscert {self.tls.server_cert}"
                f" --tlskey {self.tls.server_key}"
            )
        # Socket activation: the first descriptor that is handed over is number 3.
        handing = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$"
        # A daemon that was killed leaves its pidfile, and the number may be taken by now.
        return f"rm -f {directory}/pid; {handing}; exec dockerd {' '.join(options)}"

    def _await_answer(self) -> None:
        """Connect to the socket that was handed over: it answers, or is gone with the daemon."""
        raw: socket.socket | None = None
        try:
            raw = socket.create_connection(("127.0.0.1", self.port), timeout=_START)
            raw.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")  # refused, under TLS, is an answer too
            answer = raw.recv(1)
        except OSError:
            answer = b""
        finally:
            if raw is not None:
                raw.close()
        if not answer:
            log = (self.directory / "log").read_text(errors="replace")[-3000:]
            self.stop()
            pytest.fail(f"the private dockerd did not start:\n{log}", pytrace=False)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=_START)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_START)
        self.sock.connect(str(self._path))


def _only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@contextlib.contextmanager
def running_dockerd(*, tls: bool = False) -> Iterator[Dockerd]:
    """Run a private daemon that has the image ``busybox``."""
    if os.geteuid() != 0:
        missing("root, which dockerd needs")
    for program in _NEEDED:
        require(program)
    remove_leftovers()
    # Not in /tmp, which may be a tmpfs: overlayfs has none above it.
    directory = Path(tempfile.mkdtemp(prefix="wherry-dockerd-", dir="/var/tmp"))
    try:
        daemon = Dockerd(directory, tls=make_certificates(directory) if tls else None)
        try:
            daemon.start()
            daemon.request("POST", "/images/load?quiet=1", docker_archive("busybox:latest"))
            yield daemon
        finally:
            daemon.stop()
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def dockerd(environment: Path) -> Iterator[Dockerd]:
    """The session's private daemon, on unix and plain tcp."""
    with running_dockerd() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def dockerd_tls(environment: Path) -> Iterator[Dockerd]:
    """The session's private daemon that wants TLS with certificates on both sides."""
    with running_dockerd(tls=True) as daemon:
        yield daemon
