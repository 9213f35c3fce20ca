"""``wherry namespace``: the namespaces of a gateway."""

from __future__ import annotations

from wherry.cli.groups import Group

GROUP = Group(
    "wherry namespace",
    package="wherry.cli.namespace",
    text="Namespaces keep functions and secrets apart that have the same name.",
    usage="wherry namespace COMMAND",
    commands={
        "Namespaces": {
            "create": "Make a namespace",
            "ls": "List namespaces",
            "rm": "Remove namespaces that are empty",
        },
    },
)
