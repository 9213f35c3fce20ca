"""Why a request of the remote container API is not done; whoever answers maps it to a status."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.errors import UsageError, WherryError


class Fault(WherryError):
    """A request that gets this answer, in the compatible mode and in the strict one."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        compatible: int | None = None,
        headers: Mapping[str, str] | None = None,
        is_plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        """In the strict mode."""
        self.compatible = status if compatible is None else compatible
        """In the compatible mode, which knows fewer."""
        self.headers = dict(headers or {})
        self.is_plain = is_plain
        """Whether the answer is the message alone, as text."""


class Malformed(UsageError):
    """A body or a path that nobody could carry out: 400 in both modes."""


class Forbidden(Fault):
    """A policy or another owner says no: 403 in both modes. The message names which rule."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=403)


class Ended(WherryError):
    """A program ended with anything but 0; the answer carries what it wrote."""

    def __init__(
        self, message: str, *, code: int | None, stdout: bytes, stderr: bytes, container: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        """None: it did not get to say, as after a timeout."""
        self.stdout = stdout
        self.stderr = stderr
        self.container = container
