"""Reading one repository of a registry, by the OCI distribution specification.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import ImageCorrupt, ImageNotFound, RegistryError
from wherry.images.addresses import host_of, is_loopback, is_named
from wherry.images.auth import AnonymousRefused, Authenticator
from wherry.images.faults import Unreachable, Untrusted
from wherry.images.manifests import ACCEPT, manifest_type
from wherry.images.retries import Transient

if TYPE_CHECKING:
    from wherry.images.credentials import CredentialSource
    from wherry.images.model import Descriptor
    from wherry.images.reference import Reference
    from wherry.images.transport import Response, Transport

MANIFEST_BYTES = 4 * 1024 * 1024
"""The distribution specification's bound for manifests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedManifest:
    """A manifest, exactly as its digest was taken of it."""

    data: bytes
    media_type: str
    digest: str


class Registry:
    """One repository; :meth:`connect` comes first."""

    def __init__(
        self, transport: Transport, reference: Reference, *, credentials: CredentialSource
    ) -> None:
        self._transport = transport
        self._reference = reference
        self._base = ""
        self._auth = Authenticator(
            transport,
            credentials,
            registry=reference.registry,
            scope=f"repository:{reference.repository}:pull",
        )

    async def connect(self) -> None:
        """Find out how the registry is spoken to; raises RegistryError."""
        self._base, challenges = await find_registry(self._transport, self._reference.api_host)
        self._auth.learn(challenges, base=self._base)

    async def manifest(self, name: str, *, expected: Descriptor | None = None) -> FetchedManifest:
        """Fetch and verify a manifest by its tag or digest.

        ``expected`` is the descriptor that led to it. Raises ImageNotFound,
        AuthenticationRequired, RegistryError, ImageCorrupt.
        """
        retries = self._transport.wire.retries
        return await retries.run(lambda: self._fetch_manifest(name, expected))

    async def blob(self, digest: str, *, offset: int = 0) -> Response:
        """Ask for a blob from a byte on; the answer has status 200 (all of it), 206 or 416.

        Raises Transient for what may pass, ImageCorrupt when the registry has lost the blob.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = await self._open(f"blobs/{digest}", headers)
        if response.status in {200, 206, 416}:
            return response
        async with response:
            if response.status == 404:
                name = self._reference.familiar
                raise ImageCorrupt(f"{response.host} has no blob {digest}, a part of {name!r}")
            raise await self._refusal(response, f"blob {digest}")

    async def _fetch_manifest(self, name: str, expected: Descriptor | None) -> FetchedManifest:
        response = await self._open(f"manifests/{name}", {"Accept": ACCEPT})
        async with response:
            if response.status != 200:
                raise await self._refusal(response, f"the manifest {name!r}")
            data = await response.read(MANIFEST_BYTES)
            sent = response.headers.get("Content-Type", "")
            stated = response.headers.get("Docker-Content-Digest")
        what = f"image {self._reference.familiar!r}"
        _check_size(len(data), expected.size if expected else None, what=what)
        digest = _verified(
            data, wanted=name if ":" in name else None, stated=stated, expected=expected, what=what
        )
        kind = manifest_type(data, content_type=sent, what=what)
        return FetchedManifest(data=data, media_type=kind, digest=digest)

    async def _open(self, path: str, headers: dict[str, str]) -> Response:
        """Send a request, and once more with a new token when the old one is refused."""
        url = f"{self._base}/v2/{self._reference.repository}/{path}"
        header = await self._header()
        response = await self._transport.open(url, headers=headers, authorization=header)
        if response.status != 401:
            return response
        async with response:
            if not await self._auth.renew(response.challenges, refused=header):
                raise self._auth.refusal()
        header = await self._header()
        return await self._transport.open(url, headers=headers, authorization=header)

    async def _header(self) -> str | None:
        try:
            return await self._auth.header()
        except AnonymousRefused as error:
            # Token services answer so for a repository that is not there, too.
            raise ImageNotFound(self._not_there("")) from error

    async def _refusal(self, response: Response, what: str) -> Exception:
        error = await response.error(what)
        if response.status not in {401, 403, 404}:
            return error
        username = self._auth.username
        clause = f", or not for {username!r}" if username and response.status != 404 else ""
        missing = ImageNotFound(self._not_there(clause))
        missing.__cause__ = error
        return missing

    def _not_there(self, clause: str) -> str:
        registry = self._reference.registry
        return (
            f"{self._reference.familiar!r} is not on {registry}{clause}; "
            f"check the name or run `wherry login {registry}`"
        )


async def find_registry(transport: Transport, host: str) -> tuple[str, list[str]]:
    """Return a registry's base URL and the challenges of its first answer.

    Plain HTTP is tried after HTTPS, only on loopback and for registries named insecure.
    Raises RegistryError.
    """
    plain = is_named(host, transport.wire.insecure) or is_loopback(host_of(host))
    base = f"https://{host}"
    if plain and not await _speaks_tls(transport, base):
        base = f"http://{host}"
    return await transport.wire.retries.run(lambda: _first_contact(transport, base))


async def _speaks_tls(transport: Transport, base: str) -> bool:
    try:
        response = await transport.open(f"{base}/v2/", headers={})
    except Untrusted:
        raise
    except Transient as problem:
        return not isinstance(problem.error, Unreachable)
    except RegistryError:
        return False
    async with response:
        return True


async def _first_contact(transport: Transport, base: str) -> tuple[str, list[str]]:
    try:
        return await _ping(transport, base)
    except Transient as problem:
        cause = getattr(problem.__cause__, "os_error", None)
        if isinstance(cause, ConnectionRefusedError):
            raise problem.error from problem  # nobody is there: that does not pass in seconds
        raise


async def _ping(transport: Transport, base: str) -> tuple[str, list[str]]:
    response = await transport.open(f"{base}/v2/", headers={})
    async with response:
        if response.status not in {200, 401, 403}:
            error = await response.error("/v2/")
            raise RegistryError(f"{response.host} is not an image registry: {error}")
        return base, response.challenges


def _verified(
    data: bytes, *, wanted: str | None, stated: str | None, expected: Descriptor | None, what: str
) -> str:
    """Return the sha256 digest of a manifest after comparing it with everything that is known."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    for other in (wanted, expected.digest if expected else None, stated):
        if other is None:
            continue
        algorithm = other.partition(":")[0]
        if algorithm not in {"sha256", "sha512"}:
            raise ImageCorrupt(f"{what}: the registry states a digest that is none: {other!r:.80}")
        got = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        if got != other:
            raise ImageCorrupt(f"{what}: the manifest should be {other} but is {got}")
    return digest


def _check_size(size: int, expected: int | None, *, what: str) -> None:
    if size > MANIFEST_BYTES:
        raise ImageCorrupt(f"{what}: the manifest has more than {MANIFEST_BYTES} bytes")
    if expected is not None and size != expected:
        raise ImageCorrupt(f"{what}: the manifest should have {expected} bytes but has {size}")
