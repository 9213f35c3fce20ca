"""What ``wherry serve`` can be told: by options, and by the ``[serve]`` table of its files.

Each option but ``--config`` is a key of the table, with ``_`` for ``-``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.cli.parsing import Parser


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that a server can be told."""

    name: str
    """As an option, without its dashes."""
    help: str
    metavar: str | None = None
    """None: it is so, or it is not."""
    several: bool = False
    """Whether it may be said several times; in the table it is a list then."""

    @property
    def key(self) -> str:
        """Its name in the table, and in what was parsed."""
        return self.name.replace("-", "_")

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return f"--{self.name}"


def _several(name: str, metavar: str, text: str) -> Choice:
    return Choice(name, text, metavar, several=True)


CHOICES: dict[str, tuple[Choice, ...]] = {
    "Where it listens": (
        _several(
            "listen", "ADDRESS", "HOST:PORT, [V6]:PORT or unix:PATH, several times; 127.0.0.1:8080"
        ),
        Choice("socket-mode", "permissions of unix sockets; 600", "MODE"),
        Choice("tls-cert", "certificate chain (PEM), read again on change", "FILE"),
        Choice("tls-key", "its key, unless it is in the same file", "FILE"),
        _several(
            "trusted-proxy",
            "CIDR",
            "proxies whose X-Forwarded-For, -Proto and -Host are believed, or unix, several times",
        ),
    ),
    "What it serves": (
        _several("stack", "FILE", "OpenFaaS's stack.yaml; read on change"),
    ),
    "Schedules": (
        _several("ofelia", "FILE", "ofelia's INI file with jobs; read on change"),
        Choice("ofelia-labels", "containers of a Docker engine declare jobs by ofelia's labels"),
        Choice("swarm-labels", "services of its Swarm declare them by swarm-cronjob's labels"),
        Choice("schedule-local", "jobs may be programs of this machine, as the server's user"),
    ),
    "Who is let in": (
        Choice("no-auth", "everybody who can reach a loopback address or unix socket"),
        Choice("auth-calls", "calls need a login too, not only those that ask for one"),
        Choice("basic-auth-user-file", "holds the user; admin", "FILE"),
        Choice(
            "basic-auth-password-file",
            "holds the password; one is made otherwise, and kept in the data directory",
            "FILE",
        ),
        _several(
            "allow-origin",
            "ORIGIN",
            "https://HOST whose pages may do what their user may, several times",
        ),
        _several(
            "allow-host",
            "NAME",
            "by which a server without auth is known, besides localhost; several times",
        ),
        Choice("rate", "calls of one client, as in 100/second; any", "RATE"),
        Choice("system-rate", "the same of all but calls; any", "RATE"),
        Choice("login-rate", "failed logins of one address, or none; 10/minute", "RATE"),
    ),
    "Limits": (
        Choice("max-body", "of a request; 8g", "SIZE"),
        Choice("max-timeout", "of any call; 5m", "TIME"),
        Choice("max-running", "calls at one time; 256", "N"),
        Choice("max-waiting", "calls that wait for a place; 1024", "N"),
        Choice("queue-wait", "for a place, before it is a 503; 10s", "TIME"),
        Choice("idle", "without a call until a function's ready containers are given up; 5m",
               "TIME"),
        Choice("grace", "that calls have to end when it stops; 30s", "TIME"),
    ),
    "Queued calls": (
        Choice("workers", "that run at one time; as many as CPUs, 2 at least", "N"),
        Choice("retries", "tries after the first, where the function does not say; 3", "N"),
        Choice("retry-delay", "before the second try; it doubles with each; 1s", "TIME"),
        Choice("retry-max-delay", "the longest; 5m", "TIME"),
        Choice("queue-max-body", "of a request; 256m", "SIZE"),
        Choice("queue-max-calls", "that wait; 1000000", "N"),
        Choice("queue-max-bytes", "of all bodies that wait; 16g", "SIZE"),
        Choice("max-result", "of a call; 256m", "SIZE"),
        Choice("keep-results", "after the end of a call; 1d", "TIME"),
        Choice("keep-result-bytes", "of all results, the oldest go first; 4g", "SIZE"),
        _several("callback-host", "PATTERN",
                 "that may be called back, as in *.example.org, several times; all"),
        Choice("callback-attempts", "to tell a result; 16", "N"),
    ),
    "Records of calls": (
        Choice("keep-records", "after the end of a call; 7d", "TIME"),
        Choice("keep-dead", "of calls that failed for good and can be retried; 30d", "TIME"),
        Choice("max-records", "of calls that ended, the oldest go first; 200000", "N"),
    ),
    "Log": (
        Choice("no-access-log", "no line for each request"),
    ),
}  # fmt: skip
"""By their heading in the help."""

WHERE = (
    Choice("engine", "local, unless WHERRY_ENGINE says otherwise", "ENGINE"),
    Choice("data-dir", "of functions, records and the local engine, as WHERRY_DATA_DIR", "DIR"),
)
"""What all commands have."""

KEYS = {choice.key: choice for section in (*CHOICES.values(), WHERE) for choice in section}
"""All keys of the table."""


def declare(parser: Parser) -> None:
    """Declare all of them."""
    for heading, choices in CHOICES.items():
        parser.section(heading)
        if heading == "What it serves":
            parser.values(
                "--config", metavar="FILE", help="wherry.toml with functions; read on change"
            )
        for choice in choices:
            _declare(parser, choice)
    parser.section("Where")
    for choice in WHERE:
        _declare(parser, choice)


def _declare(parser: Parser, choice: Choice) -> None:
    if choice.metavar is None:
        parser.flag(choice.option, help=choice.help)
    elif choice.several:
        parser.values(choice.option, metavar=choice.metavar, help=choice.help)
    else:
        parser.value(choice.option, metavar=choice.metavar, help=choice.help)
