"""Paths, versions, queries, filters and names: strict in, made anew out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wherry.proxy.policy import filters, images, names, patterns, queries, routing, table
from wherry.proxy.policy.model import (
    CopyIn,
    Denied,
    Found,
    FoundImage,
    Limits,
    Policy,
    Profile,
    TenantView,
)
from wherry.proxy.policy.operations import ENDPOINTS, Operation
from wherry.proxy.policy.routing import route
from wherry.proxy.policy.table import TABLE, Verdict

ID = "1" * 64
SLOTS = {"{container}": "web", "{network}": "net", "{volume}": "vol", "{exec}": ID,
         "{image}": "ghcr.io/me/app:1", "**": "x"}  # fmt: skip


def path_of(path: str) -> str:
    for slot, text in SLOTS.items():
        path = path.replace(slot, text)
    return path


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
@pytest.mark.parametrize("prefix", ["", "/v1.41", "/v1.56"])
def test_every_endpoint_of_the_table_is_found_under_every_version(
    endpoint: Any, prefix: str
) -> None:
    method = "POST" if endpoint.method == "*" else endpoint.method
    found = route(method, f"{prefix}{path_of(endpoint.path)}".encode())
    assert found.operation is endpoint.operation
    assert found.version == (41 if prefix == "/v1.41" else 56)


def test_every_operation_has_a_row_and_every_row_an_endpoint() -> None:
    assert set(TABLE) == set(Operation)
    assert {endpoint.operation for endpoint in ENDPOINTS} == set(Operation)


def test_profiles_open_what_they_say() -> None:
    def opened(profile: Profile) -> set[Operation]:
        policy = Policy(profile)
        return {op for op, row in TABLE.items() if row.verdict(policy) is not Verdict.DENY}

    children, ci, readonly = (opened(each) for each in Profile)
    assert ci - children == {Operation.BUILD, Operation.COMMIT}
    assert readonly < children
    changing = {"create", "start", "kill", "remove", "prune", "exec.start", "attach", "pull",
                "archive", "tag", "connect"}  # fmt: skip
    assert not [op for op in readonly if any(word in op.value for word in changing)]


@pytest.mark.parametrize("op", [o for o in Operation if TABLE[o].open is Verdict.DENY])
def test_what_is_closed_is_closed_to_the_most_open_policy(op: Operation) -> None:
    policy = Policy(Profile.CI, pull=("*",), copy_in=CopyIn.ALWAYS, build=True, gpus=True)
    with pytest.raises(Denied) as refusal:
        table.check(op, policy)
    assert refusal.value.status in (403, 404)


def test_a_plugin_is_not_there_so_that_inspect_goes_on() -> None:
    with pytest.raises(Denied) as refusal:
        table.check(Operation.PLUGIN_INSPECT, Policy(), method="GET", name="x")
    assert (refusal.value.status, refusal.value.message) == (404, 'plugin "x" not found')


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/containers/a/b/json", "No such container: a/b"),
        ("/containers/busybox:latest/json", "No such container: busybox:latest"),
        ("/networks/a:b", "network a:b not found"),
        ("/volumes/a:b", "get a:b: no such volume"),
        ("/images/some.http.endpoint/fo_-o/json", "No such image: some.http.endpoint/fo_-o"),
        ("/exec/abc/json", "No such exec instance: abc"),
    ],
)
def test_a_name_that_nothing_can_have_is_not_there(target: str, kind: str) -> None:
    with pytest.raises(Denied, match=kind) as refusal:
        route("GET", f"/v1.41{target}".encode())
    assert refusal.value.status == 404


def test_a_version_is_clamped_to_the_pinned_one() -> None:
    with pytest.raises(Denied, match=r"Maximum supported API version is 1\.41"):
        route("GET", b"/v1.42/info", newest=41)
    assert route("GET", b"/info", newest=41).version == 41
    assert routing.target("/containers/x y", version=41) == b"/v1.41/containers/x%20y"


def test_an_image_is_decoded_once() -> None:
    assert route("GET", b"/images/ghcr.io%2Fme%2Fapp%401/json".replace(b"%401", b"")).name == (
        "ghcr.io/me/app"
    )
    with pytest.raises(Denied):
        route("GET", b"/images/a%252fb/json")


def test_a_new_query_holds_what_is_known_and_nothing_else() -> None:
    found = route("GET", b"/containers/web/logs?stdout=true&since=5&evil=1&tail=all&follow=")
    assert queries.clean(found, Limits()) == {
        "stdout": "1", "since": "5", "tail": "all", "follow": "0"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("target", "key", "value"),
    [
        ("stop?t=-1", "t", "60"), ("stop?t=9999", "t", "60"), ("stop?t=3", "t", "3"),
        ("restart?t=0", "t", "0"), ("kill?signal=SIGRTMIN%2B3", "signal", "SIGRTMIN+3"),
        ("wait?condition=removed", "condition", "removed"), ("resize?h=5&w=6", "h", "5"),
    ],
)  # fmt: skip
def test_values_are_bounded(target: str, key: str, value: str) -> None:
    assert queries.clean(route("POST", f"/containers/web/{target}".encode()), Limits())[key] == (
        value
    )


@pytest.mark.parametrize(
    "target",
    ["stop?t=x", "kill?signal=$(x)", "wait?condition=x", "resize?h=-1&w=1", "resize?h=99999",
     "attach?stdin=maybe", "start?detachKeys=%00", "stop?t=1&t=2", "kill?signal=%zz"],
)  # fmt: skip
def test_values_out_of_their_grammar_are_refused(target: str) -> None:
    with pytest.raises(Denied):
        queries.clean(route("POST", f"/containers/web/{target}".encode()), Limits())


@pytest.mark.parametrize("given", ['{"label":["a=b"]}', '{"label":{"a=b":true}}'])
def test_both_spellings_of_filters_are_one_and_the_owner_is_added(given: str) -> None:
    found = filters.parse(given, kind="container")
    assert json.loads(found.render(Found(), owner="ten")) == {
        "label": ["a=b", "wherry.proxy.tenant=ten"]
    }


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ('{"evil":["x"]}', "container"), ('{"label":"a"}', "container"), ('[]', "container"),
        ('{"label":{"a":false}}', "container"), ('{"type":["daemon"]}', "event"),
        ('{"name":["(a+)+$"]}', "container"), ('{"id":["xyz"]}', "container"),
        ('{"reference":["[a"]}', "image"), ('{"label":[' + ",".join(['"a"'] * 65) + "]}", "volume"),
        ('{"before":["a b"]}', "container"), ('{"is-task":["true"]}', "container"),
    ],
)  # fmt: skip
def test_filters_out_of_their_grammar_are_refused(given: str, kind: str) -> None:
    with pytest.raises(Denied):
        filters.parse(given, kind=kind)


def test_a_filter_by_a_foreign_name_matches_nothing() -> None:
    found = filters.parse('{"network":["victim"],"ancestor":["busybox"]}', kind="container")
    assert {named.text for named in found.optional} == {"victim", "busybox"}
    known = Found(images={"busybox": FoundImage("sha256:3")})
    assert json.loads(found.render(known)) == {
        "network": ["wherry.nothing"], "ancestor": ["sha256:3"]
    }  # fmt: skip


def test_names_are_filtered_as_the_tenant_knows_them() -> None:
    def keeps(pattern: str, name: str) -> bool:
        return filters.parse(json.dumps({"name": [pattern]}), kind="container").keeps([name])

    assert keeps("we", "/web")
    assert keeps("^/web$", "/web")
    assert not keeps("^/we$", "/web")
    assert keeps("eb$", "web")
    assert not keeps("ten", "web")


def test_a_prune_has_its_filters_told_to_us() -> None:
    found = filters.parse_prune('{"label":["a=b"],"label!":["c"],"until":["10m"]}')
    assert found.keeps({"a": "b"}, created=0, now=1000)
    assert not found.keeps({"a": "b"}, created=900, now=1000)
    assert not found.keeps({"a": "b", "c": ""}, created=0, now=1000)
    for bad in ('{"x":["y"]}', '{"until":["soon"]}', '{"dangling":["maybe"]}'):
        with pytest.raises(Denied):
            filters.parse_prune(bad)


@pytest.mark.parametrize(
    "name", ["web", "a.b", "A_b-c", "tenant", "deadbeefdea"],
)  # fmt: skip
def test_a_name_goes_round(name: str) -> None:
    assert names.plain("ten", names.scoped("ten", names.check_new(name, field="name"))) == name
    assert names.plain("ten", f"/ten.{name}") == f"/{name}"
    assert names.plain("ten", f"tenant.{name}") == f"tenant.{name}"


@pytest.mark.parametrize("name", ["", "a", "-a", "a/b", "deadbeefdead", "0" * 64, "é", "a b"])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(Denied):
        names.check_new(name, field="name")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("app", "app:latest"), ("app:1", "app:1"), ("me/app", "me/app:latest"),
        ("ghcr.io/me/app:2", "ghcr.io/me/app:2"), ("localhost:5000/x", "localhost:5000/x:latest"),
        ("docker.io/library/app", "app:latest"),
    ],
)  # fmt: skip
def test_a_tag_goes_round_in_a_name_space_of_the_tenants(given: str, shown: str) -> None:
    tag = names.scoped_image("ten", given, field="t")
    assert tag.startswith("ten.wherry.invalid/")
    assert names.plain_image("ten", tag) == shown
    assert names.plain_image("te", tag) is None


@pytest.mark.parametrize(
    ("patterns_", "image", "allowed"),
    [
        (("busybox",), "busybox:1", True), (("busybox:1.*",), "busybox:1.36", True),
        (("busybox:1.*",), "busybox:2", False), (("busybox",), "evil.example/busybox", False),
        (("busybox",), "docker.io/library/busybox", True), (("*",), "evil/x", False),
        (("*",), "busybox", True), (("ghcr.io/me/*",), "ghcr.io/me/a", True),
        (("ghcr.io/me/*",), "ghcr.io/me/a/b", False), (("ghcr.io/me/*",), "ghcr.io/mee/a", False),
        (("*/*/*",), "evil.example/a/b", True), (("me/*",), "me/x", True), ((), "busybox", False),
        (("localhost:5000/x",), "localhost:5000/x:1", True),
        (("*/*/*/*",), "victim.wherry.invalid/docker.io/library/x", False),
    ],
)  # fmt: skip
def test_patterns_of_images_hold_what_they_say(
    patterns_: tuple[str, ...], image: str, allowed: bool
) -> None:
    assert patterns.allows(patterns_, names.check_image(image, field="x")) is allowed


def test_a_pattern_full_of_stars_is_quick() -> None:
    assert not patterns.matches("*a" * 120, "a" * 250 + "b")


def test_a_pull_is_made_anew_from_the_list() -> None:
    policy = Policy(pull=("busybox", "ghcr.io/me/*"))

    def query(text: str) -> dict[str, str]:
        found = route("POST", f"/images/create?{text}".encode())
        return images.parse_pull(found.query, policy).render()

    assert query("fromImage=busybox&tag=1") == {
        "fromImage": "docker.io/library/busybox", "tag": "1"}  # fmt: skip
    assert query("fromImage=busybox")["tag"] == "latest"
    digest = "sha256:" + "a" * 64
    assert query(f"fromImage=busybox&tag={digest}")["tag"] == digest
    for bad in ("fromImage=evil/x", "fromImage=", "fromSrc=-", "fromImage=busybox&fromImage=x",
                "fromImage=http://x/y", "fromImage=busybox&platform=$x"):  # fmt: skip
        with pytest.raises(Denied):
            query(bad)


def test_only_own_tags_are_removed() -> None:
    tenant = TenantView("ten")
    own = names.scoped_image("ten", "app", field="t")
    assert images.check_removal("app", [own, "busybox:latest"], tenant=tenant) == (own,)
    assert images.check_removal("sha256:" + "a" * 64, [own], tenant=tenant) == (own,)
    for text, tags in (("busybox", ["busybox:latest"]), ("a" * 64, [own, "busybox:latest"])):
        with pytest.raises(Denied):
            images.check_removal(text, tags, tenant=tenant)


def test_own_images_come_before_public_ones_of_the_same_name() -> None:
    tenant = TenantView("ten", Policy(images=("busybox:*",)))
    first, second = images.candidates("busybox", tenant)
    assert first.startswith("ten.wherry.invalid/")
    assert second == "busybox:latest"
