"""``/ui/deploy``: a form that deploys a function, or deploys it anew."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wherry.errors import UsageError, WherryError
from wherry.functions.model import DEFAULT_NAMESPACE, Deployment, Resources
from wherry.service.outcome import status_of_error
from wherry.ui.forms import Form, read_fields
from wherry.ui.rendering import see
from wherry.ui.settings import command_of
from wherry.ui.standing import path_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.ui.rendering import Pages

LABELS = {
    "timeout": "wherry.timeout",
    "concurrency": "wherry.concurrency",
    "ready": "wherry.ready",
    "network": "wherry.network",
    "mode": "wherry.mode",
}
"""Fields that are labels, which have a place of their own in the form."""
FIELDS = ("service", "namespace", "image", "command", "env", "secrets", "memory", "cpu",
          "read_only", "labels", *LABELS)  # fmt: skip


def routes(pages: Pages) -> list[Route]:
    """Return the routes of what is served here."""
    deploying = _Deploying(pages)
    return [pages.route("/deploy", get=deploying.show, post=deploying.deploy)]


class _Deploying:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._dashboard = pages.dashboard

    async def show(self, request: Request) -> Response:
        origin = request.query_params.get("from")
        if not origin:
            values = {"namespace": DEFAULT_NAMESPACE}
        else:
            values = fields_of(self._dashboard.service.find(origin).deployment)
        return self._form(request, values)

    async def deploy(self, request: Request) -> Response:
        form = await read_fields(request)
        values = {name: form.text(name) for name in FIELDS}
        try:
            before = self._before(form)
            deployed = await self._dashboard.functions.deploy(deployment_of(form, before=before))
        except WherryError as error:
            return self._form(request, values, problem=str(error), status=status_of_error(error))
        return see(path_of(deployed.qualified), note="deployed")

    def _before(self, form: Form) -> Deployment | None:
        """Return what is deployed anew, so that what the form does not know is kept."""
        origin = form.text("from")
        return self._dashboard.service.find(origin).deployment if origin else None

    def _form(
        self,
        request: Request,
        values: Mapping[str, str],
        *,
        problem: str | None = None,
        status: int = 200,
    ) -> Response:
        return self._pages.page(
            request,
            "deploy.html",
            status=status,
            values={**dict.fromkeys(FIELDS, ""), **values},
            origin=request.query_params.get("from", ""),
            namespaces=self._dashboard.functions.namespaces(),
            problem=problem,
            wrong=(problem or "").partition(":")[0],
        )


def deployment_of(form: Form, *, before: Deployment | None = None) -> Deployment:
    """Return what a form asks to deploy; raises :class:`UsageError`."""
    labels = _kept(before.labels if before else None)
    labels |= _pairs(form.text("labels"), field="labels")
    for field, label in LABELS.items():
        if value := form.text(field).strip():
            labels[label] = value
    env = _kept(before.env_vars if before else None) | _pairs(form.text("env"), field="env")
    return Deployment(
        service=form.text("service").strip(),
        namespace=form.text("namespace").strip(),
        image=form.text("image").strip(),
        command=_words(form.text("command")) or None,
        env_vars=env or None,
        secrets=form.text("secrets").replace(",", " ").split() or None,
        labels=labels or None,
        limits=_limits(form, before),
        read_only_root_filesystem=bool(form.text("read_only")),
        annotations=before.annotations if before else None,
        constraints=before.constraints if before else None,
        requests=before.requests if before else None,
        pipe=before.pipe if before else None,
    )


def fields_of(deployment: Deployment) -> dict[str, str]:
    """Return the fields of the form that deploys the same again."""
    labels = dict(deployment.labels or {})
    own = {field: labels.pop(label, "") for field, label in LABELS.items()}
    limits = deployment.limits or Resources()
    return {
        "service": deployment.service,
        "namespace": deployment.namespace or DEFAULT_NAMESPACE,
        "image": deployment.image,
        "command": command_of(deployment),
        "env": _lines(deployment.env_vars),
        "secrets": " ".join(deployment.secrets or ()),
        "memory": limits.memory or "",
        "cpu": limits.cpu or "",
        "read_only": "on" if deployment.read_only_root_filesystem else "",
        "labels": _lines(labels),
        **own,
    }


def _limits(form: Form, before: Deployment | None) -> Resources | None:
    memory, cpu = form.text("memory").strip() or None, form.text("cpu").strip() or None
    gpu = before.limits.gpu if before and before.limits else None
    return Resources(memory=memory, cpu=cpu, gpu=gpu) if memory or cpu or gpu else None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"command: {text!r} cannot be read: {error}") from error


def _pairs(text: str, *, field: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for line in filter(str.strip, text.split("\n")):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{field}: {line!r} is no NAME=VALUE; write one to a line")
        pairs[name.strip()] = value
    return pairs


def _lines(pairs: Mapping[str, str] | None) -> str:
    simple = ((name, value) for name, value in (pairs or {}).items() if "\n" not in value)
    return "\n".join(f"{name}={value}" for name, value in sorted(simple))


def _kept(pairs: Mapping[str, str] | None) -> dict[str, str]:
    """Return what no line of a form can hold: values of several lines."""
    return {name: value for name, value in (pairs or {}).items() if "\n" in value}
