"""A RabbitMQ node of the tests' own: on loopback, with its own directory, name and port mapper.

Debian's programs in ``/usr/sbin`` change the user and the directories; those below
``/usr/lib/rabbitmq`` take both from the environment. The port mapper (epmd) is started here
instead of by the node, which would leave it behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.certificates import make_certificates
from tests.support.require import missing, require

_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_START = 90.0
_STOP = 30.0


class Rabbit:
    """One node, which may be killed and started again on the same data and port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.tls_port, self._dist, self._epmd_port = _free_ports(4)
        self.certificates = make_certificates(directory)
        self._node: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        (directory / "plugins").write_text("[].\n")
        (directory / "env.conf").write_text("")
        (directory / "advanced.config").write_text(
            "[{rabbit, [{channel_tick_interval, 300}]}, {kernel, [{inet_dist_use_interface, "
            "{127,0,0,1}}]}].\n"
        )
        (directory / "rabbit.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\n"
            "disk_free_limit.absolute = 1MB\nlog.console = false\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.certificates.ca}\n"
            f"ssl_options.certfile = {self.certificates.server_cert}\n"
            f"ssl_options.keyfile = {self.certificates.server_key}\n"
            "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n"
        )
        for name in ("mnesia", "log"):
            (directory / name).mkdir()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def tls_url(self) -> str:
        """Its address with TLS, without the option that names who signed its certificate."""
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}/"

    def add_vhost(self, name: str) -> None:
        """Add a vhost in which guest may do everything."""
        may = ", ".join(['<<".*">>'] * 3)
        self.control(
            "eval",
            f'rabbit_vhost:add(<<"{name}">>, <<"guest">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, {may}, '
            '<<"guest">>).',
        )

    def start(self) -> None:
        """Start the node and wait until it takes connections."""
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=self._env,
            )  # fmt: skip
            _until(lambda: _accepts(self._epmd_port), "epmd")
        with (self.directory / "out").open("ab") as out:
            self._node = subprocess.Popen(
                [str(_PROGRAMS / "rabbitmq-server")], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, env=self._env, cwd=self.directory, start_new_session=True,
            )  # fmt: skip
        _until(self._answers, f"RabbitMQ: {self.directory}")

    def kill(self) -> None:
        """End the node as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the node, then its port mapper."""
        self._end(signal.SIGTERM)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(_STOP)
            self._epmd = None

    def control(self, *words: str) -> str:
        """Run rabbitmqctl on the node, and return what it prints."""
        done = subprocess.run(
            [str(_PROGRAMS / "rabbitmqctl"), "--quiet", "-n", self._env["RABBITMQ_NODENAME"],
             *words],
            capture_output=True, text=True, env=self._env, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _end(self, number: signal.Signals) -> None:
        node, self._node = self._node, None
        if node is None:
            return
        # The session is ours alone: the node, and the small programs that it starts.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(_STOP)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait(_STOP)

    def _answers(self) -> bool:
        assert self._node is not None
        if self._node.poll() is not None:
            raise AssertionError((self.directory / "out").read_text()[-2000:])
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    @property
    def _env(self) -> dict[str, str]:
        here = self.directory
        return {
            "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            "HOME": str(here),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"wherry{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_PID_FILE": str(here / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbit.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(here / "env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


@contextlib.contextmanager
def a_rabbit() -> Iterator[Rabbit]:
    """Have a node for the block."""
    for program in ("rabbitmq-server", "rabbitmqctl", "epmd"):
        require(program)
    if not (_PROGRAMS / "rabbitmq-server").exists():
        missing("Debian's rabbitmq-server")
    directory = Path(tempfile.mkdtemp(prefix="wherry-rabbit-", dir="/var/tmp"))
    rabbit = Rabbit(directory)
    try:
        rabbit.start()
        yield rabbit
    finally:
        rabbit.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbit() -> Iterator[Rabbit]:
    """Have one node for all tests."""
    with a_rabbit() as made:
        yield made


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [int(each.getsockname()[1]) for each in found]


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _until(condition: object, what: str) -> None:
    deadline = time.monotonic() + _START
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not start within {_START:g} s")
        time.sleep(0.05)
