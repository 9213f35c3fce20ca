"""How many files this process may have open: a call takes some, a connection one."""

from __future__ import annotations

import resource

_PLENTY = 65536


def allow_many() -> int:
    """Use as many descriptors as we may without asking anybody; return how many that is.

    Shells start programs with 1,024 for the sake of those that use select(2), which we do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _PLENTY if hard == resource.RLIM_INFINITY else min(hard, _PLENTY)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def for_connections() -> int:
    """Return how many of them clients may hold; the other half is for what they ask for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (_PLENTY if soft == resource.RLIM_INFINITY else soft) // 2
