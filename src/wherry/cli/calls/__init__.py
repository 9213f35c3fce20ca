"""``wherry calls``: the calls that a gateway made, makes and is going to make."""

from __future__ import annotations

from wherry.cli.groups import Group

GROUP = Group(
    "wherry calls",
    package="wherry.cli.calls",
    text="See the calls of a gateway's functions, and give orders about those that are queued: "
    "by `wherry invoke --async`, or by a POST to /async-function/NAME.",
    usage="wherry calls COMMAND",
    examples=(
        "wherry calls ls --state dead",
        "wherry calls result 5f0c… > report.pdf",
    ),
    commands={
        "Calls": {
            "ls": "List calls, the latest first",
            "show": "Show all that is known of calls",
            "result": "Print what a queued call wrote to stdout",
            "logs": "Print what a call wrote to stderr",
        },
        "Queued calls": {
            "cancel": "End calls that wait or run",
            "retry": "Queue dead or cancelled calls anew",
        },
    },
)
