"""The headers with which one node hands a request on to another one."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.remote.cluster.seal import Seal, matches

FORCE = "docker-server"
"""``docker-server: force``: carry this out here, and hand it on to nobody."""
PROOF = "docker-server-proof"
"""That another node sent it, which has counted it against its client's limits."""
CLIENT = "docker-server-client"
"""The client's address, as that node saw it."""

_OURS = frozenset({FORCE, PROOF, CLIENT})
_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "forwarded",
        "x-forwarded-for",
        "x-real-ip",
    }
)


def is_forced(headers: Mapping[str, str]) -> bool:
    """Whether a request is to be carried out here, whoever says so. Names in lower case."""
    return headers.get(FORCE, "").strip().lower() == "force"


def handed_on(
    headers: Mapping[str, str],
    *,
    method: str,
    target: str,
    client: str,
    seal: Seal,
    key: str | None,
) -> dict[str, str]:
    """Return the headers for the node whose state has ``key``; None is one that checks nothing.

    The client's own Authorization goes along, and is checked again.
    """
    sent = {
        name: value
        for name, value in headers.items()
        if name not in _HOP | _OURS and value.isascii()  # of others nobody knows the encoding
    }
    sent[FORCE] = "force"
    if client:
        sent[CLIENT] = client
    if key is not None:
        sent[PROOF] = seal.of_request(_parts(sent, method=method, target=target), key=key)
    return sent


def client_of(
    headers: Mapping[str, str], *, method: str, target: str, seal: Seal, key: str
) -> str | None:
    """Return the client's address if another node handed this on; None if it did not.

    ``key`` is that of our own state, and ``target`` what the path names, decoded.
    """
    proof = headers.get(PROOF)
    if proof is None or not is_forced(headers):
        return None
    parts = _parts(headers, method=method, target=target)
    return headers.get(CLIENT, "") if matches(proof, seal.of_request(parts, key=key)) else None


def _parts(headers: Mapping[str, str], *, method: str, target: str) -> tuple[str, ...]:
    return method, target, headers.get("authorization", ""), headers.get(CLIENT, "")
