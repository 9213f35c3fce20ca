"""A mail server of loopback that keeps what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message


@dataclass
class MailSink:
    """What came; ``refusals`` is how many mails are refused before one is taken."""

    port: int = 0
    refusals: int = 0
    mails: list[Message] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            said = line.decode().strip()
            self.lines.append(said)
            match said.split(maxsplit=1)[0].upper():
                case "EHLO":
                    writer.write(b"250 sink\r\n")
                case "MAIL" if self.refusals:
                    self.refusals -= 1
                    writer.write(b"451 later\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    self.mails.append(message_from_bytes(await reader.readuntil(b"\r\n.\r\n")))
                    writer.write(b"250 taken\r\n")
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 fine\r\n")
        writer.close()


@asynccontextmanager
async def mail_sink(*, refusals: int = 0) -> AsyncIterator[MailSink]:
    """Run one for the block."""
    sink = MailSink(refusals=refusals)
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sink
