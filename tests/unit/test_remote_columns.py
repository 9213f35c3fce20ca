"""What `docker ps -a` prints, by the same rules."""

from __future__ import annotations

import pytest

from wherry.remote import columns
from wherry.remote.columns import Published

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"), (0.9, "Less than a second"), (-5, "Less than a second"),
        (1, "1 second"), (1.9, "1 second"), (2, "2 seconds"), (59.9, "59 seconds"),
        (MINUTE, "About a minute"), (119, "About a minute"), (120, "2 minutes"),
        (HOUR - 1, "59 minutes"), (HOUR, "About an hour"), (1.49 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"), (47 * HOUR, "47 hours"), (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"), (14 * DAY, "2 weeks"), (59 * DAY, "8 weeks"), (60 * DAY, "2 months"),
        (729 * DAY, "24 months"), (730 * DAY, "2 years"), (1100 * DAY, "3 years"),
    ],
)  # fmt: skip
def test_an_age_is_said_as_docker_says_it(seconds: float, text: str) -> None:
    assert columns.age(seconds) == f"{text} ago"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("sh", '"sh"'),
        ("12345678901234567890", '"12345678901234567890"'),
        ("123456789012345678901", '"1234567890123456789…"'),
        ("sh -c 'sleep 1000000'", '"sh -c \'sleep 100000…"'),
        ('echo "hi"\t\\', '"echo \\"hi\\"\\t\\\\"'),
        ("a\x00b\x7f", '"a\\x00b\\x7f"'),
        ("日本語日本語日本語日", '"日本語日本語日本語日"'),
        ("日本語日本語日本語日本", '"日本語日本語日本語…"'),
        ("é\u200b", '"é\\u200b"'),
        ("", '""'),
    ],
)
def test_a_command_is_cut_and_quoted_as_docker_does_it(command: str, shown: str) -> None:
    assert columns.command(command) == shown


TCP = "tcp"


@pytest.mark.parametrize(
    ("ports", "shown"),
    [
        ([], ""),
        ([Published(80, "", 0, TCP)], "80/tcp"),
        ([Published(80, "0.0.0.0", 80, TCP)], "0.0.0.0:80->80/tcp"),
        ([Published(80, "0.0.0.0", 8080, TCP), Published(80, "::", 8080, TCP)],
         "0.0.0.0:8080->80/tcp, :::8080->80/tcp"),
        ([Published(n, "", 0, TCP) for n in (82, 80, 81, 90)], "80-82/tcp, 90/tcp"),
        ([Published(n, "0.0.0.0", n, TCP) for n in (80, 81)], "0.0.0.0:80-81->80-81/tcp"),
        ([Published(n, "0.0.0.0", n + 1, TCP) for n in (80, 81)],
         "0.0.0.0:81->80/tcp, 0.0.0.0:82->81/tcp"),
        ([Published(53, "", 0, "udp"), Published(53, "", 0, TCP)], "53/tcp, 53/udp"),
    ],
)  # fmt: skip
def test_ports_are_put_together_as_docker_does_it(ports: list[Published], shown: str) -> None:
    assert columns.ports(ports) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("busybox", "busybox"), ("busybox:1", "busybox:1"), ("", "<no image>"),
        ("busybox@sha256:" + "1" * 64, "busybox"), ("a/b:c@sha256:" + "1" * 64, "a/b:c"),
        ("docker.io/library/redis:7", "redis:7"), ("docker.io/me/x", "me/x"),
        ("ghcr.io/me/x:1", "ghcr.io/me/x:1"), ("sha256:" + "a" * 64, "a" * 12),
        ("a" * 64, "a" * 12), ("sha256:" + "b" * 64, "sha256:" + "b" * 64),
    ],
)  # fmt: skip
def test_an_image_has_its_short_name(name: str, shown: str) -> None:
    assert columns.image(name, "sha256:" + "a" * 64) == shown


def test_the_names_of_links_are_left_out() -> None:
    assert columns.names(["/web", "/proxy/web", "/alias"]) == "web,alias"
