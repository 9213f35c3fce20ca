"""Forms whose one file is another application's body: taken apart as it comes, never stored."""

import re
from email.message import Message as Mail

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_HEAD = 16 * 1024


class NotAFormError(Exception):
    """What came is no form with a file in it."""


class FilePart:
    """Takes the bytes of a ``multipart/form-data`` body, and gives those of its first file."""

    def __init__(self, boundary: bytes) -> None:
        self.filename = ""
        self.done = False
        self._mark = b"\r\n--" + boundary
        self._data = bytearray(b"\r\n")  # so that the first boundary is like all others
        self._inside = False

    def feed(self, data: bytes) -> bytes:
        """Return what of the file is certain by now."""
        self._data += data
        while not self._inside and not self.done:
            if not self._next_part():
                return b""
        return b"" if self.done else self._content()

    def _next_part(self) -> bool:
        """Come to the next part's content, if its head is there; go past those that are no file."""
        begin = self._data.find(self._mark)
        after = begin + len(self._mark)
        end = self._data.find(b"\r\n\r\n", after) if begin >= 0 else -1
        if begin >= 0 and self._data[after : after + 2] == b"--":
            raise NotAFormError("the form has no file")
        if end < 0:
            if len(self._data) > MAX_HEAD:
                raise NotAFormError("the form's first file does not begin within 16 KiB")
            return False
        head = bytes(self._data[after:end]).decode("utf-8", "replace")
        del self._data[: end + 2]  # the content of an empty part ends in its own \r\n
        found = re.search(r"(?i)content-disposition:[^\r\n]*;\s*filename=\"([^\"]*)\"", head)
        if found is None:
            return True
        self.filename, self._inside = found[1], True
        del self._data[:2]
        return True

    def _content(self) -> bytes:
        end = self._data.find(self._mark)
        if end >= 0:
            self.done = True
            found = bytes(self._data[:end])
            self._data.clear()
            return found
        sure = max(0, len(self._data) - len(self._mark))
        found = bytes(self._data[:sure])
        del self._data[:sure]
        return found


class Upload:
    """An application around another one, which gets the file of a form as its whole body."""

    def __init__(self, app: ASGIApp, *, media_type: str) -> None:
        self._app = app
        self._media_type = media_type.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        boundary = boundary_of(scope)
        if boundary is None:  # the body is the file: curl --data-binary @file
            await self._app(scope, receive, self._typed(send))
            return
        part = FilePart(boundary)

        async def file() -> Message:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return message
                if part.done:
                    continue
                data = part.feed(message.get("body", b""))
                ends = part.done or not message.get("more_body", False)
                if ends and not part.done:
                    raise NotAFormError("the form ends within its file")
                if data or ends:
                    return {"type": "http.request", "body": data, "more_body": not ends}

        headers = [(n, v) for n, v in scope["headers"] if n != b"content-length"]
        headers.append((b"transfer-encoding", b"chunked"))
        await self._app({**scope, "headers": headers}, file, self._typed(send))

    def _typed(self, send: Send) -> Send:
        """Send answers of calls that succeed as what they are."""

        async def typed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                kept = [(n, v) for n, v in message["headers"] if n != b"content-type"]
                message = {**message, "headers": [*kept, (b"content-type", self._media_type)]}
            await send(message)

        return typed


def boundary_of(scope: Scope) -> bytes | None:
    """Return the boundary of a form with files, None for any other body."""
    for name, value in scope["headers"]:
        if name == b"content-type" and value.lower().startswith(b"multipart/form-data"):
            mail = Mail()
            mail["content-type"] = value.decode("latin-1")
            boundary = mail.get_param("boundary")
            return str(boundary).encode() if boundary else None
    return None
