"""OpenFaaS's ``stack.yaml``: its functions as deployments.

https://docs.openfaas.com/reference/yaml/
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from wherry.errors import UsageError
from wherry.functions import shapes, values
from wherry.functions.model import DEFAULT_NAMESPACE, Deployment, Resources
from wherry.functions.names import check_name, check_namespace
from wherry.functions.substitution import Variable, substitute

_TOP = ("version", "provider", "functions", "configuration")
_PROVIDERS = ("openfaas", "faas")
READ = ("image", "fprocess", "environment", "environment_file", "secrets", "labels",
         "annotations", "limits", "requests", "readonly_root_filesystem", "constraints",
         "namespace")  # fmt: skip
IGNORED = ("lang", "handler", "skip_build", "build_options", "build_args", "build_secrets",
           "registry_auth", "copy", "publish", "platforms")  # fmt: skip
"""What is about building images: known, and nothing to us."""

_GPU = "nvidia.com/gpu"

Read = Callable[[Path], str]


class _Texts(yaml.SafeLoader):
    """Leaves every scalar the text that it is, as Go does where it wants text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as its base has it
        first: [(tag, pattern) for tag, pattern in rules if tag == "tag:yaml.org,2002:merge"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice, of which one would silently win."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = {key for key in keys if keys.count(key) > 1 and key != "<<"}
        if twice:
            line = node.start_mark.line + 1
            raise UsageError(f"line {line}: {min(twice)!r} is there twice in one table")
        return super().construct_mapping(node, deep=deep)


def deployments(text: str, *, folder: Path, read: Read, variable: Variable) -> list[Deployment]:
    """Return the functions of a stack file. Raises :class:`UsageError`.

    Its variables are filled in before it is read, as by OpenFaaS's command. Environment files
    are looked for in ``folder``, and given to ``read``.
    """
    given = _parsed(substitute(text, variable=variable))
    shapes.check_keys(given, _TOP, field="")
    provider = shapes.table(given.get("provider"), "provider")
    if provider.get("name", "openfaas") not in _PROVIDERS:
        raise UsageError(f"provider.name: {provider['name']!r} must be openfaas")

    def environment(path: str, field: str) -> dict[str, str]:
        found = _parsed(substitute(read(folder / path), variable=variable))
        shapes.check_keys(found, ("environment",), field=f"{field} {path!r}")
        return shapes.pairs(found.get("environment"), f"{path}: environment") or {}

    functions = shapes.table(given.get("functions"), "functions")
    return [
        _deployment(name, shapes.table(value, f"functions.{name}"), environment)
        for name, value in functions.items()
    ]


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, Loader=_Texts)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise UsageError(f"it is no YAML: {_shortly(error)}") from error
    except RecursionError as error:
        raise UsageError("it is nested too deeply") from error
    return shapes.table(found, "the file")


def _shortly(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


def _deployment(
    name: str, given: dict[str, Any], environment: Callable[[str, str], dict[str, str]]
) -> Deployment:
    field = f"functions.{name}"
    shapes.check_keys(given, (*READ, *IGNORED), field=field)
    namespace = shapes.text(given.get("namespace"), f"{field}.namespace") or DEFAULT_NAMESPACE
    check_namespace(namespace, field=f"{field}.namespace")
    env = shapes.pairs(given.get("environment"), f"{field}.environment") or {}
    for path in shapes.texts(given.get("environment_file"), f"{field}.environment_file") or ():
        env |= environment(path, f"{field}.environment_file")
    read_only = shapes.text(given.get("readonly_root_filesystem"), field) or "false"
    return Deployment(
        service=check_name(name, field="functions"),
        image=shapes.text(given.get("image"), f"{field}.image"),
        namespace=namespace,
        env_process=shapes.text(given.get("fprocess"), f"{field}.fprocess"),
        env_vars=env or None,
        constraints=shapes.texts(given.get("constraints"), f"{field}.constraints"),
        secrets=shapes.texts(given.get("secrets"), f"{field}.secrets"),
        labels=shapes.pairs(given.get("labels"), f"{field}.labels"),
        annotations=shapes.pairs(given.get("annotations"), f"{field}.annotations"),
        limits=_resources(given.get("limits"), f"{field}.limits"),
        requests=_resources(given.get("requests"), f"{field}.requests"),
        read_only_root_filesystem=values.truth(read_only, f"{field}.readonly_root_filesystem"),
    )


def _resources(value: object, field: str) -> Resources | None:
    given = shapes.pairs(value, field)
    if not given:
        return None
    shapes.check_keys(given, ("memory", "cpu", _GPU), field=field)
    return Resources(memory=given.get("memory"), cpu=given.get("cpu"), gpu=given.get(_GPU))
