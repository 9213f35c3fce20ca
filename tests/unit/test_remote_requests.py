"""Bodies of the remote container API: forms and JSON alike, and nothing that is an option."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.images.credentials import Credentials
from wherry.remote import requests, words
from wherry.remote.bodies import fields_of, form
from wherry.remote.creating import create_body
from wherry.remote.faults import Malformed
from wherry.remote.model import Call, Caller, Port, Volume

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def run_of(body: str | dict[str, Any]) -> Any:
    kind = FORM if isinstance(body, str) else JSON
    data = body if isinstance(body, str) else json.dumps(body)
    return requests.run_request(fields_of(data.encode(), content_type=kind))


def call(target: str, *, fields: dict[str, Any] | None = None, **more: Any) -> Call:
    query = more.pop("query", {})
    return Call(method="POST", target=target, query=query, fields=fields or {},
                caller=Caller(name="operator"), **more)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a", {"a": ""}),
        ("&&a=1&", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a+b=c+d", {"a b": "c d"}),
        ("a%5Bb%5D=%26", {"a": {"b": "&"}}),
        ("ports[1234]=6379", {"ports": {"1234": "6379"}}),
        ("ports[80]=80", {"ports": {"80": "80"}}),
        ("ports[0]=1&ports[1]=2", {"ports": {"0": "1", "1": "2"}}),
        ("volumes[/tmp/data]=/data", {"volumes": {"/tmp/data": "/data"}}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[]=1", {"a": ["1"]}),
        ("a=1&a=2&a=3", {"a": ["1", "2", "3"]}),
        ("a[b][]=1", {"a": {"b": ["1"]}}),
        ("__proto__[x]=1", {"__proto__": {"x": "1"}}),
        ("%C3%A9=%C3%A8", {"é": "è"}),
    ],
)
def test_a_form_has_names_in_brackets(text: str, fields: dict[str, Any]) -> None:
    assert form(text.encode()) == fields


@pytest.mark.parametrize(
    "text",
    ["a[=1", "a]=1", "a[b=1", "a[b]c=1", "a[[b]]=1", "a=1&a[b]=2", "a[b]=1&a=2", "a[][b]=1",
     "a[1][2][3][4][5]=1", "%ff=1", "a=%ff"],
)  # fmt: skip
def test_a_form_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        form(text.encode())


@pytest.mark.parametrize(
    "body",
    [b"[1]", b'"x"', b"1", b"null", b"{", b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 9000,
     b'{"a":' * 2000, b'{"a":1e999}', b"\xff{}", b"{'a': 1}"],
)  # fmt: skip
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        fields_of(body, content_type=JSON)


def test_what_is_neither_a_form_nor_json_has_no_fields() -> None:
    for kind in ("", "text/plain", "multipart/form-data; boundary=x", "image/png"):
        assert fields_of(b'image=x&{"image":"x"}', content_type=kind) == {}
    assert fields_of(b"a=1", content_type=f"{FORM}; charset=utf-8") == {"a": "1"}
    assert fields_of(b'{"a":1}', content_type="Application/JSON;charset=utf-8") == {"a": 1}
    assert fields_of(b" \n", content_type=JSON) == {}


@pytest.mark.parametrize(
    ("as_form", "as_json"),
    [
        ("image=redis&name=p-redis&ports[1234]=6379",
         {"image": "redis", "name": "p-redis", "ports": {"1234": 6379}}),
        ("image=redis&name=aa&volumes[/tmp/data]=/data",
         {"image": "redis", "name": "aa", "volumes": {"/tmp/data": "/data"}}),
        ("image=a&name=aa&detach=true&remove=1",
         {"image": "a", "name": "aa", "detach": True, "remove": 1}),
        ("image=a&name=aa&detach=false&remove=0",
         {"image": "a", "name": "aa", "detach": False, "remove": 0}),
        ("image=a&name=aa&data[]=sh&data[]=-c&data[]=echo+$HOME",
         {"image": "a", "name": "aa", "data": ["sh", "-c", "echo $HOME"]}),
        ("image=a&name=aa&data[0]=echo&data[1]=x y",
         {"image": "a", "name": "aa", "data": ["echo", "x y"]}),
        ("image=a&name=aa&env[A]=b&env[C]=",
         {"image": "a", "name": "aa", "env": {"A": "b", "C": ""}}),
        ("image=a&name=aa&memory=64m&cpus=1.5&timeout=1m30s",
         {"image": "a", "name": "aa", "memory": 67108864, "cpus": 1.5, "timeout": 90}),
        ("image=a&name=aa&labels[x.y]=1&user=1000:100&workdir=/srv&network=none",
         {"image": "a", "name": "aa", "labels": {"x.y": "1"}, "user": "1000:100",
          "workdir": "/srv", "network": "none"}),
        ("image=a&name=aa&credentials[username]=u&credentials[password]=p",
         {"image": "a", "name": "aa", "credentials": {"username": "u", "password": "p"}}),
        ("image=a&name=aa&entrypoint=", {"image": "a", "name": "aa", "entrypoint": []}),
    ],
)  # fmt: skip
def test_a_form_and_json_are_equal(as_form: str, as_json: dict[str, Any]) -> None:
    assert run_of(as_form) == run_of(as_json)


@pytest.mark.parametrize("word", ["false", "0", "no", "off", "", "False", "NO"])
def test_a_false_of_a_form_is_false(word: str) -> None:
    request = run_of(f"image=a&detach={word}&remove={word}")
    assert not request.detach
    assert not request.remove


@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE"])
def test_a_true_of_a_form_is_true(word: str) -> None:
    assert run_of(f"image=a&detach={word}").detach


@pytest.mark.parametrize("value", ["maybe", "2", "[object Object]", 7, 1.0, [True], {"a": 1}])
def test_what_is_no_boolean_is_refused(value: Any) -> None:
    with pytest.raises(Malformed, match="detach"):
        run_of({"image": "a", "detach": value})


@pytest.mark.parametrize("fields", ["", "name=x", "image=", {"image": None}, {"image": []}, {}])
def test_a_run_without_an_image_says_so(fields: Any) -> None:
    with pytest.raises(Malformed, match=r"^No image supplied!$"):
        run_of(fields)


def test_a_container_without_a_name_gets_a_uuid() -> None:
    name = run_of("image=a").name
    assert uuid.UUID(name).version == 4
    assert str(uuid.UUID(name)) == name


@pytest.mark.parametrize(
    ("host", "inside", "port"),
    [
        ("80", "80", Port(host=80, container=80)),
        ("1", "65535", Port(host=1, container=65535)),
        ("0", "80", Port(host=0, container=80)),
        ("", "80", Port(host=0, container=80)),
        ("53", "53/udp", Port(host=53, container=53, protocol="udp")),
        ("127.0.0.1:8080", "80", Port(host=8080, container=80, address="127.0.0.1")),
        ("[::1]:8080", "80", Port(host=8080, container=80, address="::1")),
        ("127.0.0.1:", "80", Port(host=0, container=80, address="127.0.0.1")),
    ],
)
def test_a_port_is_published_as_it_is_written(host: str, inside: str, port: Port) -> None:
    assert run_of({"image": "a", "ports": {host: inside}}).ports == (port,)


def test_port_80_is_published_as_80() -> None:
    config = create_body(run_of("image=a&ports[80]=80"))["HostConfig"]
    assert config["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}


def test_ranges_of_ports_are_published_one_by_one() -> None:
    found = run_of("image=a&ports[8000-8002]=90-92/udp").ports
    assert [(port.host, port.container) for port in found] == [(8000, 90), (8001, 91), (8002, 92)]


@pytest.mark.parametrize(
    "pair",
    ["x=80", "80=x", "80=", "80=0", "65536=80", "80=65536", "-1=80", "80=80/icmp", "80=80 --rm",
     "80 -v /:/host=80", "1-3=1-2", "3-1=1-3", "1.2.3=80", "999.0.0.1:80=80", "::1:80=80",
     "$(id)=80", "1-5000=1-5000", "٨=80", "80=٨"],
)  # fmt: skip
def test_a_port_that_is_none_is_refused(pair: str) -> None:
    host, _, inside = pair.rpartition("=")
    with pytest.raises(Malformed, match="ports"):
        run_of({"image": "a", "ports": {host: inside}})


@pytest.mark.parametrize(
    ("source", "target", "volume"),
    [
        ("/tmp/data", "/data", Volume(source="/tmp/data", target="/data")),
        ("/tmp/data", "/data:ro", Volume(source="/tmp/data", target="/data", read_only=True)),
        ("/a b", "/c d:rw", Volume(source="/a b", target="/c d")),
        ("cache", "/cache", Volume(source="cache", target="/cache")),
    ],
)
def test_a_volume_is_a_path_or_a_name(source: str, target: str, volume: Volume) -> None:
    assert run_of({"image": "a", "volumes": {source: target}}).volumes == (volume,)


@pytest.mark.parametrize(
    ("source", "target"),
    [(".", "/data"), ("../x", "/data"), ("/a:/b", "/data"), ("/a", "data"), ("/a", "/b:/c"),
     ("/a", "/b:rshared"), ("-v", "/b"), ("", "/b"), ("$(id)", "/b"), ("/a\0", "/b"), ("/a", ""),
     ("/a", "/b:ro:rw")],
)  # fmt: skip
def test_a_volume_that_is_none_is_refused(source: str, target: str) -> None:
    with pytest.raises(Malformed, match="volumes"):
        run_of({"image": "a", "volumes": {source: target}})


NAMES = ["x --privileged -v /:/host", "-x", "--rm", "x;id", "$(id)", "`id`", "a b", "a/b", "../x",
         "a\nb", "é", "a" * 256, ".", "_x", "a\0", "{}"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_can_be_an_option_or_a_command(name: str) -> None:
    with pytest.raises(Malformed, match="name"):
        run_of({"image": "a", "name": name})
    with pytest.raises(Malformed, match="container"):
        words.container(name, name="container")


@pytest.mark.parametrize(
    "image",
    ["--privileged", "-v", "busybox --privileged", "busybox;id", "$(id)", "a:b:c", "A", "a//b",
     "a@sha256:x", "busybox\n", " busybox", "a:", "é", "x" * 300, "a\0", "http://a/b", ["a"],
     {"a": "b"}, True],
)  # fmt: skip
def test_no_image_can_be_an_option_or_a_command(image: Any) -> None:
    with pytest.raises(Malformed, match="image"):
        run_of({"image": image})


@pytest.mark.parametrize(
    "image",
    ["busybox", "busybox:1", "library/redis:7", "localhost:5000/a/b:c", "ghcr.io/x/y",
     f"busybox@sha256:{'0' * 64}", f"sha256:{'0' * 64}", "0123456789ab"],
)  # fmt: skip
def test_an_image_may_be_any_reference_or_an_id(image: str) -> None:
    assert run_of({"image": image}).image == image


@pytest.mark.parametrize(
    ("data", "command"),
    [
        ("echo hello", ("echo", "hello")),
        ("sh -c 'echo $HOME; id'", ("sh", "-c", "echo $HOME; id")),
        ("echo $(id) `id` > /x && reboot", ("echo", "$(id)", "`id`", ">", "/x", "&&", "reboot")),
        ('a "b c" d\\ e', ("a", "b c", "d e")),
        (["--privileged", "-v", "/:/host"], ("--privileged", "-v", "/:/host")),
        (["a", 1, 1.5], ("a", "1", "1.5")),
        ([""], ("",)),
    ],
)
def test_data_is_split_as_a_shell_would_and_given_to_none(
    data: Any, command: tuple[str, ...]
) -> None:
    request = run_of({"image": "a", "data": data})
    assert request.command == command
    assert create_body(request)["Cmd"] == list(command)


@pytest.mark.parametrize("data", ["echo 'x", "a\0", ["a", None], ["a", ["b"]], {"a": "b"}, True])
def test_data_that_is_no_command_is_refused(data: Any) -> None:
    with pytest.raises(Malformed, match="data"):
        run_of({"image": "a", "data": data})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory", "lots"), ("memory", "-1"), ("memory", []), ("cpus", "0"), ("cpus", "nan"),
        ("cpus", 1e9), ("user", "-u root"), ("user", "a b"), ("workdir", "srv"), ("network", "a b"),
        ("network", "--host"), ("network", "container:a b"), ("env", {"": "x"}),
        ("env", {"a=b": "x"}),
        ("env", {"A": None}), ("env", "A=b"), ("labels", {"a b": "x"}), ("labels", {"a": {}}),
        ("capabilities", "net admin;"), ("capabilities", ["--privileged"]), ("timeout", 0),
        ("timeout", "x"), ("timeout", 1e9), ("entrypoint", "'"), ("credentials", {"a": "b"}),
        ("credentials", {"username": "u"}), ("credentials", "x"), ("name", 10**30),
        ("ports", [80]), ("ports", "80:80"), ("volumes", "/:/host"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(Malformed, match=field):
        requests.run_request({"image": "a", field: value})


def test_what_is_left_out_is_the_engines_choice() -> None:
    body = create_body(run_of("image=a&name=b"))
    assert body == {
        "Image": "a", "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
        "OpenStdin": False, "Tty": False, "HostConfig": {"AutoRemove": False},
    }  # fmt: skip


def test_what_is_asked_for_reaches_the_engine() -> None:
    fields = {"image": "a", "detach": True, "remove": True, "env": ["A=b=c"], "user": "1:2",
              "memory": "64m", "cpus": "0.5", "entrypoint": [], "workdir": "/w", "network": "none",
              "labels": {"a": "b"}, "capabilities": "cap_net_admin", "volumes": {"/a": "/b:ro"},
              "ports": {"127.0.0.1:53": "53/udp", "0": "80"}}  # fmt: skip
    assert create_body(run_of(fields)) == {
        "Image": "a", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
        "OpenStdin": False, "Tty": False, "Entrypoint": [""], "Env": ["A=b=c"],
        "Labels": {"a": "b"}, "User": "1:2", "WorkingDir": "/w",
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
        "HostConfig": {
            "AutoRemove": True, "Binds": ["/a:/b:ro"], "NetworkMode": "none",
            "Memory": 67108864, "NanoCpus": 500_000_000, "CapAdd": ["NET_ADMIN"],
            "PortBindings": {"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
                             "80/tcp": [{"HostIp": "", "HostPort": ""}]},
        },
    }  # fmt: skip


def test_credentials_are_never_shown() -> None:
    request = run_of(
        {"image": "a", "credentials": {"identitytoken": "s3cret"}, "env": {"A": "s3cret"}}
    )
    assert request.credentials == Credentials("", "s3cret", "identity")
    assert "s3cret" not in repr(request)


async def test_an_exec_has_its_stdin_from_a_field() -> None:
    asked = requests.exec_request(call("box", fields={"data": "cat", "stdin": "hi", "tty": "no"}))
    assert asked.command == ("cat",)
    assert not asked.tty
    assert asked.stdin is not None
    assert [chunk async for chunk in asked.stdin] == [b"hi"]


def test_an_exec_without_a_command_is_refused() -> None:
    wrong: list[dict[str, Any]] = [{}, {"data": ""}, {"data": []}, {"data": "  "}]
    for fields in wrong:
        with pytest.raises(Malformed, match="data"):
            requests.exec_request(call("box", fields=fields))


def test_an_exec_has_its_fields_from_the_query_when_its_body_is_bytes() -> None:
    source = object()
    asked = requests.exec_request(
        call("box", query={"data": "tr a b"}, stdin=source, fields={"data": "rm"})
    )
    assert asked.command == ("tr", "a", "b")
    assert asked.stdin is source


@pytest.mark.parametrize("tail", ["-1", "x", "1e3", "99999999", "٣"])
def test_a_tail_that_is_no_number_is_refused(tail: str) -> None:
    with pytest.raises(Malformed, match="tail"):
        requests.logs_request(call("box", query={"tail": tail}))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
_FIELDS = ["image", "name", "data", "ports", "volumes", "env", "network", "user", "memory", "cpus",
           "entrypoint", "workdir", "labels", "capabilities", "credentials", "timeout", "detach",
           "remove"]  # fmt: skip


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    for field in ("name", "memory", "ports", "detach", "cpus", "timeout", "data"):
        for value in (10**5000, [10**5000], {"a": 10**5000}):
            with pytest.raises(Malformed):
                requests.run_request({"image": "a", field: value})


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=6))
def test_whatever_is_asked_for_is_refused_or_harmless(fields: dict[str, Any]) -> None:
    with suppress(Malformed):
        request = requests.run_request({"image": "busybox", **fields})
        assert not request.name.startswith("-")
        assert not request.image.startswith("-")
        assert json.dumps(create_body(request)).isascii()


@given(st.binary(max_size=300), st.sampled_from([FORM, JSON, "text/plain"]))
def test_whatever_a_body_is_it_is_fields_or_malformed(body: bytes, kind: str) -> None:
    with suppress(Malformed):
        assert isinstance(fields_of(body, content_type=kind), dict)


_NAME = st.text(min_size=1, max_size=10).filter(lambda text: not set("[]") & set(text))


@given(st.dictionaries(_NAME, st.text(max_size=20), max_size=5))
def test_a_form_says_what_was_encoded(fields: dict[str, str]) -> None:
    assert form(urlencode(fields).encode()) == fields
    nested = "&".join(f"a[{quote(key)}]={quote(value)}" for key, value in fields.items())
    assert form(nested.encode()).get("a", {}) == fields
