"""Write docs/reference/scoped-api.md from the policy's own tables, so that it cannot be wrong.

python scripts/proxy_reference.py           write it
python scripts/proxy_reference.py --check   exit 1 when it is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from wherry.proxy.policy.described import CONFIG_FIELDS, HOST_FIELDS
from wherry.proxy.policy.labels import RESERVED
from wherry.proxy.policy.model import CopyIn, Policy, Profile
from wherry.proxy.policy.routing import NEWEST, OLDEST
from wherry.proxy.policy.table import TABLE, Row, paths
from wherry.proxy.policy.toml import KEYS, LIMITS, Key

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "scoped-api.md"

TEXT = """\
# The scoped Docker API

Written by `scripts/proxy_reference.py` from the policy itself.

What the holder of a scoped socket may ask of the engine. Everything that is not in these tables
is refused, with a message that says which field it is and what would be right; a name that is not
the tenant's own is answered with the engine's own 404. Why it is so is told in
[security](../security.md#the-scoped-docker-api).

API versions 1.{oldest} to 1.{newest} are understood, at most the engine's own; a path without a
version is the newest of them.

## Endpoints

*yes*: as it says; *own*: for the tenant's own objects; *no*: refused. Where a setting is named, it
opens or closes the endpoint in `children` and `ci`.

| Endpoint | children | ci | readonly | Setting | What is checked, or why not |
| --- | --- | --- | --- | --- | --- |
{endpoints}

## Fields of a new container

| Config | Rule |
| --- | --- |
{config}

| HostConfig | Rule |
| --- | --- |
{host}

Any other field is refused unless it says nothing. A field in another spelling (`hostConfig`), or
twice, is refused in any case.

Reserved labels begin with {reserved}.

## The policy file

TOML. A key that is not known is an error.

| Key | Meaning |
| --- | --- |
{keys}

### The table `limits`

Sizes are bytes, or as in `512m` and `2g`.

| Key | Meaning |
| --- | --- |
{limits}
"""
WORDS = {"allow": "yes", "scoped": "own", "deny": "no"}


def endpoint(row: Row) -> str:
    names = "<br>".join(f"`{path.replace('*', 'any', 1)}`" if path.startswith("*") else f"`{path}`"
                        for path in paths(row.operation))  # fmt: skip
    verdicts = [WORDS[row.verdict(_policy(row, profile)).value] for profile in Profile]
    flag = f"`{row.flag}`" if row.flag else ""
    return f"| {names} | {' | '.join(verdicts)} | {flag} | {row.why} |"


def _policy(row: Row, profile: Profile) -> Policy:
    """Return a policy in which the lists that open something are not empty."""
    return Policy(profile, pull=("x",), copy_in=CopyIn.ALWAYS)


def fields(table: Mapping[str, str]) -> str:
    return "\n".join(
        f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {rule} |"
        for names, rule in table.items()
    )


def keys(table: Mapping[str, Key]) -> str:
    return "\n".join(f"| `{name}` | {key.help} |" for name, key in table.items())


def page() -> str:
    return TEXT.format(
        oldest=OLDEST,
        newest=NEWEST,
        endpoints="\n".join(map(endpoint, TABLE.values())),
        config=fields(CONFIG_FIELDS),
        host=fields(HOST_FIELDS),
        reserved=", ".join(f"`{prefix}`" for prefix in RESERVED),
        keys=keys(KEYS),
        limits=keys(LIMITS),
    )


def main() -> int:
    if "--check" in sys.argv:
        return int(PAGE.read_text() != page())
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
