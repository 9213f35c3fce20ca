"""The corpus of hostile requests: read, filled in, and judged with and without an engine."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from wherry.proxy.policy.check import decide
from wherry.proxy.policy.model import Denied, Kind, Named, TenantView, missing
from wherry.proxy.policy.names import repository

FILE = Path(__file__).parents[1] / "security" / "proxy_corpus.yaml"
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Attack:
    """One request and what must come of it."""

    name: str
    method: str
    target: str
    body: bytes = b""
    content_type: str = ""
    deny: str = ""
    """The rule that refuses it."""
    hidden: str = ""
    """The kind of the name that is not found."""

    @property
    def expected(self) -> str:
        """The verdict in one word or two, as :func:`judge` returns it."""
        if self.deny:
            return f"deny {self.deny}"
        return f"hidden {self.hidden}" if self.hidden else "harmless"


@dataclass(frozen=True, slots=True)
class Ground:
    """Ids and names of a tenant's own objects, and of those of its victim."""

    own: str = "1" * 64
    own_network: str = "2" * 64
    own_volume: str = "data"
    own_image: str = "sha256:" + "3" * 64
    victim: str = "a" * 64
    victim_name: str = "victim.web"
    victim_network: str = "b" * 64
    victim_network_name: str = "victim.net"
    victim_volume: str = "victim.data"
    victim_image: str = "sha256:" + "c" * 64
    victim_tag: str = f"{repository('victim')}docker.io/library/secret:latest"
    victim_exec: str = "d" * 64

    @property
    def words(self) -> Mapping[str, str]:
        """What each placeholder of the corpus stands for."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "victim_short": self.victim[:12]}


def attacks(ground: Ground) -> list[Attack]:
    """Return the whole corpus with its placeholders filled in."""
    return [_attack(entry, ground.words) for entry in yaml.safe_load(FILE.read_text())]


def names() -> list[str]:
    """Return the names of the corpus, for parametrised tests."""
    return [attack.name for attack in attacks(Ground())]


def _attack(entry: Mapping[str, Any], words: Mapping[str, str]) -> Attack:
    method, _, target = _filled(entry["ask"], words).partition(" ")
    kind = entry.get("type", "")
    if "raw" in entry:
        body = _filled(entry["raw"], words).encode("latin-1" if kind.endswith("tar") else "utf-8")
    else:
        body = _filled(json.dumps(entry["body"]), words).encode() if "body" in entry else b""
    return Attack(
        entry["name"], method, target, body, kind or ("application/json" if body else ""),
        entry.get("deny", ""), entry.get("hidden", ""),
    )  # fmt: skip


def _filled(text: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def judge(attack: Attack, tenant: TenantView, *, ground: Ground) -> str:
    """Return what the pure policy says, where nothing exists but the tenant's own objects."""
    try:
        _, needs = decide(
            attack.method, attack.target.encode("latin-1"), body=attack.body, tenant=tenant
        )
        for named in needs:
            if not _is_own(named, ground):
                raise missing(named)
    except Denied as denied:
        if denied.status == 404 and denied.rule == "G3":
            return f"hidden {_kind(denied.message)}"
        return f"deny {denied.rule}"
    return "harmless"


def _is_own(named: Named, ground: Ground) -> bool:
    own = {
        Kind.CONTAINER: {ground.own},
        Kind.NETWORK: {ground.own_network},
        Kind.VOLUME: {ground.own_volume},
        Kind.IMAGE: {ground.own_image},
    }
    # A volume that is not there is made, in the tenant's own name space.
    created = named.kind is Kind.VOLUME and named.field != "path"
    return created or named.text in own.get(named.kind, set())


def _kind(message: str) -> str:
    words = {"No such container": "container", "No such image": "image", "no such volume": "volume",
             "No such exec": "exec", "network ": "network"}  # fmt: skip
    return next((kind for said, kind in words.items() if said in message), message)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over a socket."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The engine's ``{"message": …}``, or the body."""
        try:
            return str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace")


def send(path: Path, attack: Attack) -> Reply:
    """Send a request as it is over a Unix socket, on a connection of its own."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(str(path))
        head = [f"{attack.method} {attack.target} HTTP/1.1", "Host: docker", "Connection: close"]
        if attack.content_type:
            head.append(f"Content-Type: {attack.content_type}")
        if attack.body or attack.method in ("POST", "PUT"):
            head.append(f"Content-Length: {len(attack.body)}")
        if attack.target.split("?")[0].endswith("/attach"):
            head[2:3] = ["Connection: Upgrade", "Upgrade: tcp"]
        connection.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + attack.body)
        answer = http.client.HTTPResponse(connection, method=attack.method)
        answer.begin()
        return Reply(answer.status, answer.read(), dict(answer.getheaders()))


def wrong(attack: Attack, reply: Reply, *, ground: Ground) -> str:
    """Return why an answer over the socket is not what must come of a request; empty if it is.

    Whether anything of the victim changed is for the caller to compare: :func:`state`.
    """
    text = reply.body.decode(errors="replace")
    secrets = (ground.victim, ground.victim_network, ground.victim_image.removeprefix("sha256:"))
    asked = attack.target + attack.body.decode("latin-1")
    for secret in secrets:
        if secret in text and secret not in asked:
            return f"the answer tells {secret}"
    if attack.deny and reply.status not in (400, 403, 404, 405, 413, 414, 501, 503):
        return f"{reply.status} in place of a refusal: {reply.message}"
    if attack.hidden and attack.method != "HEAD" and not (
        reply.status == 404 and _kind(reply.message) == attack.hidden
    ):  # fmt: skip
        return f"{reply.status} {reply.message!r} in place of the engine's 404 for {attack.hidden}"
    if attack.hidden and attack.method == "HEAD" and reply.status != 404:
        return f"{reply.status} in place of 404"
    if attack.expected == "harmless" and reply.status >= 500:
        return f"{reply.status}: {reply.message}"
    return ""


def state(daemon: Any, ground: Ground) -> dict[str, Any]:
    """Return all that is the victim's, as the engine itself tells: to be compared before and after.

    ``daemon`` is a :class:`tests.support.dockerd.Dockerd`. What changes by itself is left out.
    """

    def ask(path: str) -> Any:
        return json.loads(daemon.request("GET", path))

    container = ask(f"/containers/{ground.victim}/json")
    container["State"].pop("Health", None)
    container.pop("ExecIDs", None)
    networks = {n["Name"]: n["Id"] for n in ask("/networks")
                if n["Name"] in ("bridge", "host", "none", ground.victim_network_name)}  # fmt: skip
    return {
        "container": container,
        "network": ask(f"/networks/{ground.victim_network}"),
        "networks": networks,
        "volume": ask(f"/volumes/{ground.victim_volume}"),
        "image": ask(f"/images/{ground.victim_image}/json"),
        "tags": {tag: i["Id"] for i in ask("/images/json") for tag in i["RepoTags"] or ()
                 if "attacker" not in tag},
        "exec": ask(f"/exec/{ground.victim_exec}/json"),
    }  # fmt: skip
