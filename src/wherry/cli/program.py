"""Which subcommand it is, and the help of the whole: nothing of the other subcommands loads."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.cli.groups import Group

ROOT = Group(
    "wherry",
    package="wherry.cli",
    text="Call any container image as a function: bytes in, bytes out, an exit code, "
    "and it is gone. No daemon, no root.",
    usage="wherry run [OPTIONS] IMAGE [ARG…]",
    examples=(
        "echo hello | wherry run busybox tr a-z A-Z",
        'wherry run -v "$PWD:/data" -m 512m python:3.12 python /data/report.py > report.html',
        "ls *.png | wherry map -P 4 --out-dir small --suffix .jpg magick convert - jpg:-",
    ),
    commands={
        "Calls": {
            "run": "Call an image as a function",
            "map": "Call an image once for each file of a list",
        },
        "Running containers": {
            "ps": "List the containers that run now",
            "kill": "Send a signal to containers: SIGKILL, unless told otherwise",
            "reap": "End what crashed callers have left behind",
        },
        "Images": {
            "image": "List, pull, make, save and remove images",
            "login": "Log in to a registry",
            "logout": "Forget the login to a registry",
        },
        "The gateway": {
            "serve": "Serve functions over HTTP",
            "dispatch": "Run a container for each message of a RabbitMQ queue",
            "remote": "Run containers for clients elsewhere, as DockerServer does",
            "token": "Make, list and remove tokens of this machine's gateway",
            "proxy": "Serve Docker sockets whose holders have containers of their own only",
        },
        "Functions of a gateway": {
            "deploy": "Give a gateway a function, or a new version of one",
            "ls": "List the functions of a gateway",
            "describe": "Show all that a gateway knows of a function",
            "invoke": "Call a function of a gateway: stdin in, stdout out",
            "logs": "Show what a function wrote to stderr",
            "calls": "List calls and read their results; cancel and retry those that are queued",
            "schedule": "Run functions, images and programs by time, and see what came of it",
            "scale": "Say how many containers of a function are to be ready",
            "rm": "Remove functions from a gateway",
            "secret": "Keep secrets where a gateway's functions find them",
            "namespace": "Make, list and remove a gateway's namespaces",
        },
        "This machine": {
            "doctor": "Say what this machine can do, and how to get the rest",
            "version": "Show the version of wherry and of what it uses",
            "completion": "Print a completion script for bash, zsh or fish",
        },
    },
    groups=frozenset({"calls", "image", "namespace", "proxy", "schedule", "secret", "token"}),
    hidden=frozenset({"complete"}),
)


def dispatch(words: Sequence[str]) -> int:
    """Run the subcommand that the words name, and return its exit code."""
    if words[:1] == ["--version"]:
        words = ["version", *words[1:]]
    return ROOT.dispatch(words)
