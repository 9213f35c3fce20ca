"""The OpenAPI document is true: schemathesis asks a real server everything that it says."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.support.serve_process import Served, serving

from wherry.triggers.http.tokens import TokenStore

CONFIG = """
# Whether these are accepted depends on what else there is: secrets, stages of a pipe, labels
# with a meaning, namespaces, how far a function may be scaled, the name in the path, and for a
# schedule its kind and the fields of a calendar.
[[operations]]
include-operation-id = ["deployFunction", "updateFunction", "scaleFunction", "listFunctions",
                        "updateNamespace", "putSchedule"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409"]

# Whoever follows a log waits for ever.
[[operations]]
include-operation-id = "logs"
parameters = { "query.follow" = false }

# Any method calls a function, one by DELETE deletes nothing, and one without an image is a 502.
[[operations]]
include-tag = ["function"]
checks.not_a_server_error.enabled = false
checks.unsupported_method.enabled = false
checks.use_after_free.enabled = false
checks.ensure_resource_availability.enabled = false
"""
UPPER = {"service": "upper", "image": "busybox", "envProcess": "tr a-z A-Z"}


def ask(served: Served, line: str, body: Any = None) -> bytes:
    method, _, path = line.partition(" ")
    login = base64.b64encode(f"admin:{served.password}".encode()).decode()
    request = urllib.request.Request(
        served.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


@pytest.mark.timeout(180)
def test_schemathesis_finds_nothing_that_the_document_does_not_say(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with serving(tmp_path / "data", "--no-access-log", "--login-rate", "none") as served:
        ask(served, "POST /system/functions", UPPER)
        ask(served, "POST /system/functions", {**UPPER, "service": "loud", "envProcess": "cat"})
        token = TokenStore(served.data / "state").create("tests", scopes=["admin"])
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"), "--config-file", config,
                "run", f"{served.url}/openapi.json", "--header", f"Authorization: Bearer {token}",
                "--seed", "1", "--max-examples", "15", "--generation-database", "none",
                "--request-timeout", "20", "--no-color",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert json.loads(ask(served, "GET /system/namespaces"))
        mistakes = [line for line in served.said if "Traceback" in line or "mistake" in line]
        assert mistakes == [], "".join(served.said)[-4000:]
