"""Mail about runs, by SMTP."""

from __future__ import annotations

import json
import smtplib
import ssl
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from wherry.triggers.cron.telling import NotTold

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Definition, Run

_WITHIN = 10.0
"""Seconds for each answer: a server that stops has to wait for it."""
_TLS_PORT = 465
_ATTACHED = 1024 * 1024
"""Bytes of the end of each stream."""


def message(of: Definition, run: Run, *, document: dict[str, Any]) -> EmailMessage:
    """Return a mail with the output attached."""
    made = EmailMessage()
    made["Subject"] = f"[wherry] {run.name}: {run.status}"
    made["From"] = of.email_from or ""
    made["To"] = ", ".join(of.email_to or ())
    lines = [f"{name}: {value}" for name, value in document.items()]
    made.set_content("\n".join(lines) + "\n")
    for name, data in (("stdout", run.stdout), ("stderr", run.stderr)):
        if data:
            made.add_attachment(
                data[-_ATTACHED:], maintype="application", subtype="octet-stream",
                filename=f"{name}.log",
            )  # fmt: skip
    made.add_attachment(
        json.dumps(document, indent=2).encode(), maintype="application", subtype="json",
        filename="run.json",
    )  # fmt: skip
    return made


def send(of: Definition, mail: EmailMessage) -> None:
    """Send it, with TLS where the server offers it; blocks. Raises :class:`NotTold`.

    A password goes over TLS alone.
    """
    context = ssl.create_default_context()
    if of.smtp_tls_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        with _connected(of, context) as server:
            if of.smtp_port != _TLS_PORT and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            if of.smtp_user:
                _log_in(of, server)
            server.send_message(mail)
    except smtplib.SMTPResponseException as error:
        raise NotTold(f"the mail server answered {error.smtp_code}") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise NotTold(type(error).__name__) from None


def _connected(of: Definition, context: ssl.SSLContext) -> smtplib.SMTP:
    port = of.smtp_port or 25
    if port == _TLS_PORT:
        return smtplib.SMTP_SSL(of.smtp_host or "", port, timeout=_WITHIN, context=context)
    server = smtplib.SMTP(of.smtp_host or "", port, timeout=_WITHIN)
    server.ehlo()
    return server


def _log_in(of: Definition, server: smtplib.SMTP) -> None:
    if not isinstance(server.sock, ssl.SSLSocket):
        raise NotTold("the mail server offers no TLS, and a password is not sent without")
    server.login(of.smtp_user or "", of.smtp_password or "")
