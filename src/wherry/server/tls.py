"""TLS whose certificate can be renewed while the server runs."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wherry.errors import UsageError

_log = logging.getLogger(__name__)
_EVERY = 1.0

Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate and its key, read again when their files change.

    New connections get the new one. Files that do not fit together change nothing.
    """

    def __init__(
        self,
        cert: Path,
        key: Path | None,
        *,
        chain: Path | None = None,
        option: str = "--tls-cert",
    ) -> None:
        """Raise :class:`UsageError`, naming the option, for files that cannot be used.

        ``chain`` is a file of the certificates in between, where ``cert`` does not have them.
        """
        self._cert = cert
        self._key = key or cert
        self._chain = chain
        self._option = option
        self._seen = self._stamp()
        self.context = self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    async def watch(self) -> None:
        """Read the files again within a second of their change, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            self.renew()

    def renew(self) -> bool:
        """Read the files again if they changed; True when another certificate is served now."""
        try:
            stamp = self._stamp()
        except UsageError:
            return False  # in the middle of being replaced
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self.context)
        except UsageError as error:
            _log.warning("the new certificate is not used", extra={"reason": str(error)})
            return False
        _log.info("a new certificate is served", extra={"certificate": str(self._cert)})
        return True

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            with self._whole() as cert:
                context.load_cert_chain(cert, self._key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"{self._option}: {self._cert} and {self._key} are no certificate and its key: "
                f"{error}"
            ) from error
        self._check_chain()
        return context

    def _check_chain(self) -> None:
        """Refuse a file without certificates, which would be left out without a word."""
        if self._chain is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(self._chain)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"{self._option}: {self._chain} has no certificates: {error}"
            ) from error

    @contextmanager
    def _whole(self) -> Iterator[Path]:
        """Yield a file of the certificate with those in between."""
        if self._chain is None:
            yield self._cert
            return
        parts = [path.read_bytes().rstrip() + b"\n" for path in (self._cert, self._chain)]
        with os.fdopen(os.memfd_create("certificates"), "wb", buffering=0) as whole:
            whole.write(b"".join(parts))
            yield Path(f"/proc/self/fd/{whole.fileno()}")

    def _stamp(self) -> Stamp:
        found = []
        for path in (self._cert, self._key, *([self._chain] if self._chain else [])):
            try:
                stat = path.stat()
            except OSError as error:
                raise UsageError(f"{self._option}: {path}: {error.strerror}") from error
            found.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
        return tuple(found)
