"""Write docs/reference/functions.md from the tables of labels and keys, so that it cannot be wrong.

python scripts/functions_reference.py           write it
python scripts/functions_reference.py --check   exit 1 when it is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

from wherry.functions.declare import SECRETS
from wherry.functions.model import DEFAULT_NAMESPACE, Settings
from wherry.functions.names import LONGEST
from wherry.functions.secrets import LARGEST
from wherry.functions.settings import ECOSYSTEM, PREFIX, RUNS, SETTINGS, Label
from wherry.functions.stack import IGNORED, READ
from wherry.functions.toml import KEYS
from wherry.models import Function

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "functions.md"

PAGE_TEXT = """\
# Functions

Written by `scripts/functions_reference.py` from the code that reads them.

A function is deployed with OpenFaaS's FunctionDeployment document: `POST /system/functions`
creates it or replaces the one of its name, `PUT` only replaces. The same document is what
`wherry deploy`, `wherry.toml` and `stack.yaml` come to, so everything below holds for all of them.
A value that cannot be right is refused when it is deployed, with the name of its field, and
what was deployed before goes on.

## Names

Functions, namespaces and secrets are named with at most {longest} letters, digits, `-`, `_` and
`.`, with a letter or digit at both ends; a namespace's name holds no dot. Where a function is
named, the last dot separates its name from its namespace: `upper.dev` is `upper` in the namespace
`dev`, and `upper` is `upper.{namespace}`. A name that itself holds a dot needs its namespace
behind it, or in a field of its own.

## The document

| Field | Meaning |
| --- | --- |
| `service` | the name; required |
| `image` | the image; required, but for a pipe |
| `namespace` | `{namespace}` when it is absent; must exist |
| `envProcess` | one line: the whole program and its arguments, quoted as for a shell, in place of \
the image's entrypoint and command. The environment variable `fprocess` says the same |
| `command` | ours: list of arguments in place of the image's command; its entrypoint stays, as \
after `wherry run IMAGE` |
| `envVars` | the environment |
| `secrets` | names of secrets that must exist in the function's namespace |
| `labels`, `annotations` | see below; yours are kept and given back as they were |
| `limits` | `memory` and `cpu` as Kubernetes writes them: `128Mi`, `250m`. A limit that this \
machine cannot enforce fails the call. `nvidia.com/gpu` is refused |
| `requests` | checked against `limits`; there is one machine, so nothing is reserved |
| `readOnlyRootFilesystem` | the image's file system cannot be written; `/tmp` and `/run` can |
| `constraints` | kept, without effect: there is one machine |
| `pipe` | ours: names of deployed functions; each one's stdout is the next one's stdin. A bare \
name is of the pipe's own namespace |

## Labels about calls

Durations are Go's (`1m30s`, `500ms`) or seconds, sizes Kubernetes' (`10Mi`) or bytes. A label
below `{prefix}` that is not in these tables is refused.

{settings}

## Labels about the container

{runs}

## The ecosystem's spellings

What a label of ours says wins over these.

{ecosystem}

## Scaling

`replicas` is how many containers are ready before their calls. It begins as what `{prefix}ready`
says, and `com.openfaas.scale.min` without it; scaling sets it to any number from 0 to
`com.openfaas.scale.max`, until the function is deployed anew. At 0 nothing waits, and the next
call makes its own container.

## Secrets

A secret is a file of mode 0600 in the state directory, at most {largest} bytes. A call finds it
in `{secrets}/NAME`, where OpenFaaS's functions look, and in `/run/secrets/NAME`. Its value is
never in an environment, a record or a log. A new value is what every later call sees: a
container that was made ready with the older one is thrown away. A function whose secret was
removed cannot start until there is one of that name again.

## `wherry.toml`

    [functions.upper]
    image = "busybox"
    command = ["tr", "a-z", "A-Z"]
    timeout = "2s"
    ready = "created:2"

Each table below `functions` is one function. Its keys are the labels above without `{prefix}`, as
text, numbers or `true` and `false`, and:

{keys}

## `stack.yaml`

Files that end in `.yaml` or `.yml` are OpenFaaS's. `${{NAME}}` and `${{NAME:-default}}` are filled
in from the server's environment before the file is read (an empty variable counts as unset), and
`$${{` stands for a plain `${{`. Environment files are looked for beside it, and win over
`environment`. Of a function these are read: {read}. These are about building images and are passed
over: {ignored}. Any other key is an error.

## Files that change

The server looks at its files twice a second and applies what changed. Calls that run are not
disturbed.

- A file with a mistake changes nothing: what it declared before goes on, and the server's log and
  dashboard say what is wrong and where. That includes a file that is gone.
- A function whose secret, or whose pipe's stage, is not there yet waits for it alone.
- What a file no longer declares is removed. Namespaces that a file names are made.
- A file takes over a function of the same name that was deployed by a client. What a file
  declares is changed in the file alone: clients that deploy or remove it hear 409. They may scale
  it.
- Of two files that declare the same name, the one that was first has it; the other is told.

## What is kept

`functions.db` (SQLite) and `secrets` in the state directory; one server uses them at a time. A
deployment is on disk before it is answered, and survives `kill -9`. Numbers of invocations are
written every few seconds.
"""


def page() -> str:
    """Return the page."""
    return PAGE_TEXT.format(
        longest=LONGEST,
        namespace=DEFAULT_NAMESPACE,
        prefix=PREFIX,
        settings=labels(SETTINGS),
        runs=labels(RUNS),
        ecosystem=table(("Where", "Meaning"), [(f"`{where}`", text) for where, text in ECOSYSTEM]),
        largest=LARGEST,
        secrets=SECRETS,
        keys=table(("Key", "Meaning"), [(f"`{key}`", text) for key, text in KEYS.items()]),
        read=", ".join(f"`{key}`" for key in READ),
        ignored=", ".join(f"`{key}`" for key in IGNORED),
    )


def labels(of: tuple[Label, ...]) -> str:
    """Return one table of labels."""
    rows = [(f"`{PREFIX}{label.name}`", f"`{label.example}`", label.meaning, default(label))
            for label in of]  # fmt: skip
    return table(("Label", "Example", "Meaning", "Default"), rows)


def default(label: Label) -> str:
    """Return what holds without a label, in words."""
    function = Function(name="any", image="any")
    value = getattr(Settings() if label in SETTINGS else function, label.field, None)
    match value:
        case None | frozenset():
            return ""
        case bool():
            return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    if "--check" in sys.argv:
        if PAGE.read_text() != page():
            sys.exit(f"{PAGE.name} is not what the code says; run scripts/functions_reference.py")
        return
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
