"""``wherry secret``: the secrets of a gateway."""

from __future__ import annotations

from wherry.cli.groups import Group

GROUP = Group(
    "wherry secret",
    package="wherry.cli.secret",
    text="Keep secrets where a gateway's functions find them: files in /run/secrets and "
    "/var/openfaas/secrets of those that name them. A value is never shown again.",
    usage="wherry secret COMMAND",
    commands={
        "Secrets": {
            "create": "Keep a new secret",
            "update": "Give a secret a new value",
            "ls": "List secrets, by name alone",
            "rm": "Remove secrets",
        },
    },
)
