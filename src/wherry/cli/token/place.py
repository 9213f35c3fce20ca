"""Where the tokens of a data directory are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser
    from wherry.triggers.http.tokens import TokenStore


def declare(parser: Parser) -> None:
    """Declare which gateway's tokens are meant."""
    parser.value("--data-dir", metavar="DIR", help="of the gateway, as WHERRY_DATA_DIR")


def open_tokens(args: argparse.Namespace) -> TokenStore:
    """Return the tokens of the gateway with this data directory."""
    from wherry import config
    from wherry.triggers.http.tokens import TokenStore

    data = Path(args.data_dir) if args.data_dir else config.settings().data_dir
    return TokenStore(data / "state")
