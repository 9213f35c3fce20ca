"""Options that do nothing, because another one is missing: whoever gave them should know."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.remote.settings import RemoteSettings

_NEEDS: Mapping[str, str] = {
    **dict.fromkeys(("cert", "key", "chain"), "https"),
    **dict.fromkeys(("log_expiry", "log_max_size"), "log_folder"),
    **dict.fromkeys(
        ("refresh_rate", "cache_interval", "folder", "s3", "s3_endpoint", "advertise",
         "cluster_token", "cluster_allow", "load_from", "node_ca"), "cluster"
    ),
}  # fmt: skip
"""Each option, and the one without which it does nothing."""


def unused(settings: RemoteSettings) -> list[str]:
    """Return a sentence for each option that is other than its default, and does nothing."""
    usual = {field.name: field.default for field in fields(settings)}
    return [
        f"--{name} does nothing without --{needed}"
        for name, needed in _NEEDS.items()
        if not getattr(settings, needed) and getattr(settings, name) != usual[name]
    ]
