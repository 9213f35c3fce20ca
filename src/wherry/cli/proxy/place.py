"""Where proxies keep what they know, and the engine behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import Unsupported, UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser
    from wherry.engines.docker.address import Address
    from wherry.proxy.tenants.places import Places

DOCKER = ("docker", "unix", "tcp", "ssh")


def declare(parser: Parser) -> None:
    """Declare where tenants are kept."""
    parser.section("Where")
    parser.value("--engine", metavar="ENGINE", help="the docker engine; docker: without it")
    parser.value("--data-dir", metavar="DIR", help="of tenants, as WHERRY_DATA_DIR")


def declare_policy(parser: Parser) -> None:
    """Declare what a tenant may do, and for how long."""
    parser.section("What the tenant may do")
    parser.value("--policy", metavar="FILE", help="TOML: limits, images, ports, mounts, …")
    parser.value(
        "--profile", metavar="children|ci|readonly", help="what a policy begins with; children"
    )
    parser.values("--limit", metavar="NAME:VALUE", help="such as containers:20 or memory:2g")
    parser.values("--image", metavar="PATTERN", help="the tenant sees it: busybox, my/*")
    parser.values("--pull", metavar="PATTERN", help="the tenant may pull it, and sees it")
    parser.value("--ttl", metavar="TIME", help="then all of it is taken down")


def policy_text(args: argparse.Namespace) -> str:
    """Return the policy that the options describe, as TOML; raises :class:`UsageError`."""
    from wherry.proxy.policy.toml import parse_policy
    from wherry.proxy.quick import overlaid

    try:
        text = Path(args.policy).read_text() if args.policy else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--policy: {args.policy!r} cannot be read: {error}") from error
    parse_policy(text, name=args.policy or "--policy")
    return overlaid(
        text, profile=args.profile, limits=args.limit, images=args.image, pulls=args.pull
    )


def ttl(args: argparse.Namespace) -> float | None:
    """Return the seconds that a tenant has; None: as many as it takes."""
    from wherry.units import parse_duration

    return None if args.ttl is None else parse_duration(args.ttl, name="--ttl")


def places(args: argparse.Namespace) -> Places:
    """Return where proxies keep what they know."""
    from wherry import config
    from wherry.proxy.tenants.places import Places

    data = Path(args.data_dir).absolute() if args.data_dir else config.settings().data_dir
    return Places(data / "proxy")


def address(args: argparse.Namespace) -> Address:
    """Return the docker engine that is meant; raises :class:`Unsupported` for another one."""
    from wherry import config
    from wherry.engines.docker.address import parse_spec
    from wherry.engines.docker.context import address_from_environment
    from wherry.engines.docker.engine import VARIABLES

    told = args.engine or config.settings().engine
    if told.partition(":")[0].partition("+")[0] not in DOCKER:
        if args.engine:
            raise Unsupported(f"--engine: {told!r} has no Docker API; it takes a docker engine")
        told = "docker:"
    return parse_spec(told) or address_from_environment(config.inherited(*VARIABLES))
