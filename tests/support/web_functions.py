"""`wherry serve` on the local engine with images of CGI programs and web servers."""

from __future__ import annotations

import json
import sysconfig
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.local_calls import data_with_busybox
from tests.support.local_harness import local_settings
from tests.support.serve_process import Served, serving

from wherry.images.fromhost import from_host
from wherry.images.store import ImageStore

SERVER = Path(__file__).parent / "web_server.py"
PYTHON = Path("/usr/bin/python3")


@contextmanager
def data_with_web() -> Iterator[Path]:
    """Make a data directory that has the images ``busybox`` and ``web``."""
    with data_with_busybox() as data:
        settings = local_settings(data)
        store = ImageStore(settings.images, owner=settings.sandbox)
        add_web(store)
        yield data


def add_web(store: ImageStore) -> None:
    """Make the image ``web``: Python, its library, and our server in ``/server.py``."""
    library = Path("/usr/lib") / Path(sysconfig.get_path("stdlib")).name
    from_host(store, "web", programs=[str(PYTHON)], files={"/server.py": SERVER}, trees=[library])


@dataclass
class Gateway:
    served: Served

    @property
    def url(self) -> str:
        return self.served.url

    def deploy(self, name: str, *command: str, image: str, **fields: Any) -> str:
        """Deploy a function, labels by their names, and return its address."""
        labels = {f"wherry.{key}": value for key, value in fields.pop("labels", {}).items()}
        labels |= fields.pop("others", {})
        document = {"service": name, "image": image, "labels": labels, **fields}
        if command:
            document["command"] = list(command)
        self.system("POST", document)
        return f"{self.url}/function/{name}"

    def system(self, method: str, document: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.url}/system/functions", json.dumps(document).encode(), method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 202


@contextmanager
def gateway(data: Path, *options: str, engine: str = "local") -> Iterator[Gateway]:
    """Serve for the block, without anybody being asked who he is."""
    with serving(data, "--no-auth", *options, engine=engine) as served:
        yield Gateway(served)
