"""A real registry (Debian's docker-registry) on the loopback interface, and what fills it."""

from __future__ import annotations

import base64
import json
import os
import queue
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.oci_layout import BuiltImage, digest_of, write_layout
from tests.support.require import require

USER = "ferryman"
PASSWORD = "oars & rope"
# What `htpasswd -nbB` made of the two.
_HTPASSWD = "ferryman:$2y$05$wpy/XZwanpEMHudGvUBuMOJXsNBEmZNDwlJZiP75VKR40oD6sA0Fi\n"
_START = 30.0
_STOP = 10.0


@dataclass(frozen=True)
class RegistryServer:
    """A running registry."""

    host: str
    storage: Path
    pid: int
    authenticated: bool

    def push(self, image: BuiltImage, name: str, *, scratch: Path) -> str:
        """Push an image with skopeo under ``repository:tag``; returns its full name."""
        layout = write_layout(scratch / image.digest.replace(":", "-") / "layout", image)
        target = f"{self.host}/{name}"
        command = [require("skopeo"), "--insecure-policy", "copy", "--preserve-digests"]
        command += ["--dest-tls-verify=false", "--quiet"]
        if self.authenticated:
            command += ["--dest-creds", f"{USER}:{PASSWORD}"]
        command += [f"oci:{layout}", f"docker://{target}"]
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return target

    def put_manifest(self, name: str, tag: str, manifest: bytes) -> None:
        """Push a manifest or index as it is, under the media type that it names."""
        kind = json.loads(manifest)["mediaType"]
        self._request("PUT", f"/v2/{name}/manifests/{tag}", manifest, kind)

    def put_blob(self, name: str, data: bytes) -> None:
        """Push a blob."""
        begun = self._request("POST", f"/v2/{name}/blobs/uploads/", b"", "")
        location = f"{begun}{'&' if '?' in begun else '?'}digest={digest_of(data)}"
        self._request("PUT", location, data, "application/octet-stream")

    def put_image(self, image: BuiltImage, name: str, tag: str) -> None:
        """Push an image over HTTP: for what skopeo would not copy as it is."""
        for blob in image.blobs.values():
            self.put_blob(name, blob)
        self.put_manifest(name, tag, image.manifest)

    def blob_file(self, digest: str) -> Path:
        """Return the file in which the registry keeps a blob."""
        value = digest.partition(":")[2]
        path = self.storage / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"
        assert path.is_file()
        return path

    def _request(self, method: str, path: str, data: bytes, content_type: str) -> str:
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        headers = {"Content-Type": content_type} if content_type else {}
        if self.authenticated:
            secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {secret}"
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return str(answer.headers.get("Location", ""))


@contextmanager
def registry_server(directory: Path, *, authenticated: bool = False) -> Iterator[RegistryServer]:
    """Start a registry with its data in a directory; it is ended by its pid."""
    program = require("docker-registry")
    storage = directory / "storage"
    storage.mkdir(parents=True)
    config = directory / "config.json"  # JSON is YAML
    config.write_text(json.dumps(_config(directory, storage, authenticated=authenticated)))
    process = subprocess.Popen(
        [program, "serve", config],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    log = _Log(process.stderr)
    try:
        yield RegistryServer(log.address(), storage, process.pid, authenticated)
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP)
        log.close()


def _config(directory: Path, storage: Path, *, authenticated: bool) -> dict[str, object]:
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        # The system chooses the port, and the log says which: nobody can take it in between.
        "http": {"addr": "127.0.0.1:0", "secret": "ferry"},
    }
    if authenticated:
        users = directory / "htpasswd"
        users.write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "the ferry", "path": str(users)}}
    return config


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"}


class _Log:
    """Reads a registry's log to its end, so that it never blocks, and finds its address."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._found: queue.Queue[str | None] = queue.Queue()
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def address(self) -> str:
        try:
            found = self._found.get(timeout=_START)
        except queue.Empty:
            found = None
        assert found, "the registry did not start: " + "\n".join(self._lines[-20:])
        return found

    def close(self) -> None:
        self._thread.join(_STOP)
        self._stream.close()

    def _read(self) -> None:
        for line in self._stream:
            text = line.decode(errors="replace").strip()
            self._lines.append(text)
            if "listening on " in text:
                self._found.put(text.partition("listening on ")[2].partition('"')[0])
        self._found.put(None)
