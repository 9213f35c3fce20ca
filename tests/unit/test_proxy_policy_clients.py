"""What the docker CLI, docker-py and aiodocker really send, recorded from a socket of ours."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from wherry.proxy.policy import containers
from wherry.proxy.policy.check import decide
from wherry.proxy.policy.model import CopyIn, Denied, Policy, Profile, TenantView

RECORDED = Path(__file__).parents[1] / "support" / "proxy_clients.jsonl"
REQUESTS: list[dict[str, Any]] = [json.loads(line) for line in RECORDED.read_text().splitlines()]
TENANT = TenantView("ten", Policy(Profile.CI, pull=("*",), copy_in=CopyIn.ALWAYS), network="f" * 64)


def verdict(request: dict[str, Any]) -> str:
    method, _, target = request["ask"].partition(" ")
    try:
        decide(method, target.encode(), body=request["body"].encode(), tenant=TENANT)
    except Denied as denied:
        return denied.rule
    return ""


@pytest.mark.parametrize("client", ["docker 28.2.2", "docker-py 7.2.0", "aiodocker 0.27.0"])
def test_a_client_is_taken_as_it_is_and_refused_only_for_what_it_asks(client: str) -> None:
    own = [request for request in REQUESTS if request["client"] == client]
    assert len(own) >= 15
    assert {r["ask"] + r["body"]: verdict(r) for r in own} == {
        r["ask"] + r["body"]: r["refused"] for r in own
    }


def test_most_of_what_clients_send_is_taken() -> None:
    taken = Counter(bool(request["refused"]) for request in REQUESTS)
    assert taken[False] > 60


def test_the_seventy_zero_fields_of_the_command_line_come_to_nothing() -> None:
    plain = next(
        r for r in REQUESTS if r["ask"].endswith("/containers/create") and not r["refused"]
    )
    sent = json.loads(plain["body"])
    assert len(sent["HostConfig"]) > 50
    created = containers.parse_create(plain["body"].encode(), TENANT.policy)
    assert created.host.files.mounts == ()
    assert created.host.network == ""
    assert created.warnings == ()
