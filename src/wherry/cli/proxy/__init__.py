"""``wherry proxy``: Docker sockets that are safe to hold."""

from __future__ import annotations

from wherry.cli.groups import Group

GROUP = Group(
    "wherry proxy",
    package="wherry.cli.proxy",
    text="A Docker socket for somebody who is not trusted with the engine: its holder has "
    "containers, networks and volumes of their own, within a quota, and sees no others.",
    usage="wherry proxy --tenant NAME --socket PATH | COMMAND",
    examples=(
        "wherry proxy --tenant ci --socket /run/ci/docker.sock --profile ci",
        "wherry proxy inject --policy jobs.toml -- docker run -i my/orchestrator",
        'wherry proxy check - \'POST /containers/create {"Image": "busybox"}\'',
    ),
    commands={
        "Sockets": {
            "serve": "Serve one tenant on a socket; what `wherry proxy` alone does",
            "inject": "Run a docker command whose container gets a socket of its own",
            "ls": "List tenants, and what they own",
            "end": "Remove everything that a tenant owns, and the tenant",
            "check": "Say what a policy makes of requests, and by which rule",
        },
    },
    default="serve",
)
