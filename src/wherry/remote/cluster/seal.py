"""What proves to one node that another one wrote a state or sent a request."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

_STATE = b"wherry cluster state 1"
_REQUEST = b"wherry cluster request 1"


def new_key() -> str:
    """Return a key for one run of one node: requests to it are sealed with it too."""
    return secrets.token_hex(16)


class Seal:
    """A secret that all nodes have.

    A request is sealed with the secret and with the key that its receiver wrote into the shared
    state. So whoever knows only the token cannot make one, whoever reads the state cannot
    either, and a node that was sent one cannot use it at another node.
    """

    def __init__(self, secret: str) -> None:
        self._secret = hashlib.sha256(secret.encode()).digest()

    def of_state(self, parts: Sequence[str]) -> str:
        """Return the proof of a state with these values: hexadecimal digits."""
        return self._proof(_STATE, parts)

    def of_request(self, parts: Sequence[str], *, key: str) -> str:
        """Return the proof of a request to the node with this key."""
        return self._proof(_REQUEST, (key, *parts))

    def _proof(self, purpose: bytes, parts: Sequence[str]) -> str:
        digest = hmac.new(self._secret, purpose, hashlib.sha256)
        for part in parts:
            data = part.encode("utf-8", "surrogateescape")
            digest.update(b"%d:" % len(data) + data)
        return digest.hexdigest()


def matches(given: str, right: str) -> bool:
    """Whether two proofs are the same, compared in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
