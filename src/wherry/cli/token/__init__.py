"""``wherry token``: make, list and remove the tokens of this machine's gateway."""

from __future__ import annotations

from wherry.cli.groups import Group

GROUP = Group(
    "wherry token",
    package="wherry.cli.token",
    text="Make, list and remove tokens for the gateway whose data directory is on this machine. "
    "A running gateway sees a change with its next request.",
    usage="wherry token COMMAND",
    commands={
        "Tokens": {
            "create": "Make a token and print it, once",
            "ls": "List tokens, and what they are good for",
            "rm": "Make tokens useless at once",
        },
    },
)
