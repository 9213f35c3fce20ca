"""What the types of the documents cannot say, for the OpenAPI document.

The checks themselves are where the documents are used, and explain themselves better than a
pattern does. That the two agree is what `tests/integration/test_openapi.py` is about.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_LABEL = "[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_DOTTED = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_PART = "[a-z0-9]+([._-][a-z0-9]+)*"

FUNCTION: Schema = {
    "type": "string",
    "pattern": f"^{_LABEL}$",
    "description": "A function; `name.namespace` is understood as well.",
    "examples": ["upper"],
}
NAMESPACE: Schema = {
    "type": "string",
    "pattern": f"^({_LABEL})?$",
    "description": "A namespace; the default one when it is empty or left out.",
    "examples": ["openfaas-fn"],
}
SECRET: Schema = {"type": "string", "pattern": f"^{_DOTTED}$", "examples": ["api-key"]}
ONE_NAMESPACE: Schema = {"type": "string", "pattern": f"^{_LABEL}$", "examples": ["dev"]}
IMAGE: Schema = {
    "pattern": f"^{_PART}(/{_PART})*(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?$",
    "description": "As after `docker run`; needed unless there is a `pipe`.",
    "maxLength": 255,
    "examples": ["busybox"],
}

CALL: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"}
SCHEDULE: Schema = {"type": "string", "pattern": f"^{_DOTTED}$", "examples": ["nightly"]}
IN_PATH: dict[str, Schema] = {
    "name": FUNCTION, "namespace": ONE_NAMESPACE, "id": CALL, "schedule": SCHEDULE,
}  # fmt: skip
"""What may stand in a path."""

FIELDS: dict[str, dict[str, Schema]] = {
    "DeleteFunction": {"functionName": FUNCTION, "namespace": NAMESPACE},
    "Deployment": {"service": FUNCTION, "namespace": NAMESPACE, "image": IMAGE},
    "FunctionQuery": {"namespace": NAMESPACE},
    "InNamespace": {"namespace": NAMESPACE},
    "LogsQuery": {"name": FUNCTION, "namespace": NAMESPACE},
    "NamedSecret": {"name": SECRET, "namespace": NAMESPACE},
    "Namespace": {"name": ONE_NAMESPACE},
    "ScaleFunction": {"namespace": NAMESPACE},
    "Secret": {"name": SECRET, "namespace": NAMESPACE,
               "rawValue": {"pattern": "^([A-Za-z0-9+/]{4})*$"}},
}  # fmt: skip
"""Of a type, what its fields hold."""

WHOLE: dict[str, Schema] = {
    "Secret": {"oneOf": [{"required": ["value"]}, {"required": ["rawValue"]}]}
}
"""Of a type, what holds for all of it."""
