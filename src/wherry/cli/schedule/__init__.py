"""``wherry schedule``: what a gateway runs by time."""

from __future__ import annotations

from wherry.cli.groups import Group

GROUP = Group(
    "wherry schedule",
    package="wherry.cli.schedule",
    text="Have a gateway run functions, images and programs by time, and see what came of it. "
    "Files declare schedules, too: `[schedules.NAME]` in wherry.toml, and ofelia's.",
    usage="wherry schedule COMMAND",
    examples=(
        "wherry schedule add nightly '30 2 * * *' --timezone Europe/Paris --function report",
        "wherry schedule history nightly",
    ),
    commands={
        "Schedules": {
            "add": "Add a schedule, or change one",
            "ls": "List schedules, with their next run",
            "next": "Preview when something runs",
            "pause": "Let schedules not run for a while",
            "resume": "Let paused schedules run again",
            "rm": "Remove schedules",
        },
        "Runs": {
            "run": "Run a schedule now",
            "history": "List the runs of a schedule, or print the output of one",
        },
        "Files": {
            "validate": "Say what is wrong with files of schedules",
            "import": "Add the jobs of a file, such as ofelia's",
        },
    },
)
