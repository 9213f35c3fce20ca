"""The commands that speak to a gateway: what they ask it, what they print, how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_gateway import FakeGateway, fake_gateway

from wherry.cli import main
from wherry.cli.complete import candidates
from wherry.cli.program import ROOT

Run = Callable[..., tuple[int, str, str]]

UPPER = {
    "name": "upper",
    "namespace": "openfaas-fn",
    "image": "busybox",
    "command": ["tr", "a-z", "A-Z"],
    "envVars": {"B": "2", "A": "1"},
    "labels": {"wherry.timeout": "2s"},
    "annotations": {},
    "limits": {"memory": "64Mi"},
    "secrets": ["key"],
    "invocationCount": 3,
    "replicas": 2,
    "availableReplicas": 1,
    "createdAt": "2026-01-02T03:04:05Z",
    "usage": {"cpu": 1500, "totalMemoryBytes": 1048576},
}
SHOUT = {
    "name": "shout",
    "namespace": "openfaas-fn",
    "image": "",
    "pipe": ["upper", "pad"],
    "labels": {},
    "annotations": {},
    "createdAt": "2026-01-02T03:04:05Z",
}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGateway]:
    monkeypatch.setenv("WHERRY_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("WHERRY_TOKEN", raising=False)
    with fake_gateway() as fake:
        monkeypatch.setenv("WHERRY_GATEWAY", fake.url)
        yield fake


@pytest.fixture
def run(gateway: FakeGateway, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_deploying_sends_openfaas_s_document_and_prints_the_address(
    gateway: FakeGateway, run: Run
) -> None:
    gateway.replies["POST /system/functions"] = (202, "fine")
    words = ["deploy", "upper", "--image", "busybox", "--timeout", "2s", "-m", "64m", "--stream",
             "-e", "A=1", "-l", "team=x", "--annotation", "topic=t", "--secret", "key",
             "--read-only", "--cpus", "0.5", "--queue-wait=1s", "--", "tr", "-d", "a"]  # fmt: skip
    assert run(*words) == (0, f"{gateway.url}/function/upper\n", "")
    assert gateway.asked[0].document == {
        "service": "upper",
        "image": "busybox",
        "command": ["tr", "-d", "a"],
        "envVars": {"A": "1"},
        "secrets": ["key"],
        "labels": {
            "team": "x",
            "wherry.timeout": "2s",
            "wherry.queue_wait": "1s",
            "wherry.stream": "true",
        },
        "annotations": {"topic": "t"},
        "limits": {"memory": "64Mi", "cpu": "0.5"},
        "readOnlyRootFilesystem": True,
    }


def test_a_pipe_and_an_update_are_deployed(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["PUT /system/functions"] = (202, "fine")
    code, out, _ = run("deploy", "shout", "-n", "dev", "--pipe", "upper, pad", "--update-only")
    assert (code, out) == (0, f"{gateway.url}/function/shout.dev\n")
    assert gateway.asked[0].document == {
        "service": "shout",
        "namespace": "dev",
        "pipe": ["upper", "pad"],
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["deploy", "x"], "give --image IMAGE, or --pipe"),
        (["deploy", "x", "--image", "a", "--pipe", "b,c"], "give --image IMAGE, or --pipe"),
        (["deploy", "--image", "a"], "FUNCTION is missing"),
        (["deploy", "x", "--image", "a", "-l", "wherry.timeout=1", "--timeout", "2"], "give one"),
        (["deploy", "x", "--image", "a", "-l", "=1"], "must be NAME=VALUE"),
        (["deploy", "-f", "no.toml", "--timeout", "2"], "--timeout: with --file"),
        (["deploy", "-f", "no.toml"], "no.toml"),
        (["scale", "x", "-1"], "there is no option '-1'"),
        (["scale", "x", "two"], "'two' must be a whole number from 0"),
        (["rm"], "FUNCTION is missing"),
        (["logs", "x", "--tail", "-1x"], "must be a whole number"),
        (["logs", "x", "--since", "soon"], "'soon' is no duration"),
        (["invoke", "x", "--callback", "http://a"], "only with --async"),
        (["invoke", "x", "-H", "no colon"], "must be NAME:VALUE"),
        (["secret", "create", "x", "--literal", "v"], "seen by every user"),
        (["ls", "--gateway", "ftp://x"], "--gateway: 'ftp://x' must be"),
    ],
)
def test_what_cannot_be_right_is_told_and_nothing_is_asked(
    gateway: FakeGateway, run: Run, words: list[str], says: str
) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert says in err
    assert gateway.asked == []


FILE = """\
[functions.shout]
pipe = ["upper", "low"]

[functions.upper]
image = "busybox"
command = ["tr", "a-z", "A-Z"]
ready = 2

[functions.low]
image = "busybox"
namespace = "openfaas-fn"
"""


def test_a_file_s_functions_are_deployed_pipes_last_and_removed_pipes_first(
    gateway: FakeGateway, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "wherry.toml"
    file.write_text(FILE)
    gateway.replies["POST /system/functions"] = (202, "fine")
    gateway.replies["DELETE /system/functions"] = (202, "fine")
    code, out, _ = run("deploy", "-f", str(file))
    assert code == 0
    assert [line.rpartition("/")[2] for line in out.split()] == ["upper", "low", "shout"]
    assert gateway.asked[0].document["labels"] == {"wherry.ready": "2"}
    gateway.asked.clear()
    assert run("deploy", "-f", str(file), "low")[1] == f"{gateway.url}/function/low\n"
    assert "no function 'uper'; did you mean 'upper'" in run("deploy", "-f", str(file), "uper")[2]
    gateway.asked.clear()
    assert run("rm", "-f", str(file))[1].split() == ["shout", "upper", "low"]
    assert gateway.asked[0].document == {"functionName": "shout", "namespace": "openfaas-fn"}


def test_a_refusal_names_the_function_of_the_file(
    gateway: FakeGateway, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "wherry.toml"
    file.write_text(FILE)
    gateway.replies["POST /system/functions"] = (400, "secrets: there is no 'key'")
    code, _, err = run("deploy", "-f", str(file))
    assert (code, err) == (2, "wherry deploy: upper: secrets: there is no 'key'\n")


def test_functions_are_listed_for_people_and_for_programs(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["GET /system/functions"] = (200, [UPPER, SHOUT])
    code, out, _ = run("ls")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[0] == ["NAME", "IMAGE", "CALLS", "READY", "AGE"]
    assert lines[1][:5] == ["shout", "pipe:", "upper,pad", "0", "0/0"]
    assert lines[2][:4] == ["upper", "busybox", "3", "1/2"]
    assert run("ls", "-q")[1] == "shout\nupper\n"
    assert json.loads(run("ls", "--json", "-n", "dev")[1])[1] == UPPER
    assert gateway.lines[-1] == "GET /system/functions?namespace=dev"


def test_functions_of_all_namespaces_are_listed_by_their_whole_names(
    gateway: FakeGateway, run: Run
) -> None:
    gateway.replies["GET /system/namespaces"] = (200, ["openfaas-fn", "dev"])
    gateway.replies["GET /system/functions?namespace=openfaas-fn"] = (200, [UPPER])
    gateway.replies["GET /system/functions?namespace=dev"] = (200, [{**UPPER, "namespace": "dev"}])
    assert run("ls", "-a", "-q")[1] == "upper.dev\nupper\n"


def test_a_function_is_described(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["GET /system/function/upper"] = (200, UPPER)
    out = run("describe", "upper")[1]
    rows = dict(line.split("  ", 1) for line in out.splitlines() if not line.startswith("Env"))
    assert rows["Command"].strip() == "tr a-z A-Z"
    assert rows["Ready"].strip() == "1 of 2"
    assert rows["Memory now"].strip() == "1 MiB"
    assert rows["CPU now"].strip() == "1.50 cores"
    assert rows["Async URL"].strip() == f"{gateway.url}/async-function/upper"
    assert "Environment  A=1\nEnvironment  B=2\n" in out
    assert json.loads(run("describe", "upper", "--json", "-n", "a b")[1]) == UPPER
    assert gateway.lines[-1] == "GET /system/function/upper?namespace=a+b&usage=1"
    gateway.replies["GET /system/function/shout"] = (200, SHOUT)
    assert "upper | pad" in run("describe", "shout")[1]


def test_functions_are_removed_and_what_was_not_there_is_told(
    gateway: FakeGateway, run: Run
) -> None:
    gateway.replies["DELETE /system/functions"] = (404, "there is no function 'a'")
    assert run("rm", "a", "-n", "dev") == (2, "", "wherry rm: there is no function 'a'\n")
    assert gateway.asked[0].document == {"functionName": "a", "namespace": "dev"}


def test_scaling_asks_for_a_number(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["POST /system/scale-function/upper"] = (202, "")
    assert run("scale", "upper", "0") == (0, "", "")
    assert gateway.asked[0].document == {"replicas": 0}


def logs(*texts: str) -> str:
    lines: list[dict[str, Any]] = [
        {"name": "f", "namespace": "n", "instance": "0123456789abcdef", "text": text,
         "timestamp": "2026-01-02T03:04:05Z"}
        for text in texts
    ]  # fmt: skip
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_logs_are_shown_a_line_each(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["GET /system/logs"] = (200, logs("one", "two\n", "drei €"))
    assert run("logs", "f") == (0, "one\ntwo\ndrei €\n", "")
    stamped = run("logs", "-t", "--tail", "3", "--since", "2026-01-01T00:00:00Z", "f")[1]
    assert stamped.splitlines()[0] == "2026-01-02T03:04:05Z 0123456789ab one"
    assert gateway.lines[-1] == ("GET /system/logs?name=f&tail=3&since=2026-01-01T00%3A00%3A00Z")
    assert run("logs", "--json", "-f", "--call", "x", "f")[1] == logs("one", "two\n", "drei €")
    assert gateway.lines[-1] == "GET /system/logs?name=f&instance=x&follow=true"
    run("logs", "--since", "10m", "f")
    assert "since=20" in gateway.lines[-1]
    gateway.replies["GET /system/logs"] = (404, "no such function")
    assert run("logs", "f") == (2, "", "wherry logs: no such function\n")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((200, "HI\n"), (0, "HI\n", "")),
        ((500, "half\n", {"X-Exit-Code": "3"}), (3, "half\n", "")),
        (
            (500, "", {"X-Exit-Code": "137", "X-Exit-Reason": "oom"}),
            (137, "", "wherry invoke: f was ended: oom\n"),
        ),
        (
            (500, "half", {"X-Exit-Reason": "killed"}),
            (137, "half", "wherry invoke: f was ended: killed\n"),
        ),
        (
            (504, "not within 2 s", {"X-Exit-Code": "137", "X-Exit-Reason": "timeout"}),
            (124, "", "wherry invoke: f: not within 2 s\n"),
        ),
        ((504, "not within 2 s"), (124, "", "wherry invoke: f: not within 2 s\n")),
        ((502, "no image"), (125, "", "wherry invoke: f: no image\n")),
        ((404, "no function"), (125, "", "wherry invoke: f: no function\n")),
    ],
)
def test_an_invocation_ends_as_the_function_did(
    gateway: FakeGateway, run: Run, reply: Any, expected: tuple[int, str, str]
) -> None:
    gateway.replies["POST /function/f"] = reply
    assert run("invoke", "f") == expected


def test_an_invocation_says_what_it_was_told_to(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["PUT /function/f.dev/a%20b"] = (200, "x")
    words = ["invoke", "f", "-n", "dev", "-X", "PUT", "--path", "a b?c=d e", "-H", "X-A: 1",
             "--timeout", "2s", "--id", "my-id", "--live"]  # fmt: skip
    assert run(*words)[:2] == (0, "x")
    asked = gateway.asked[0]
    assert asked.line == "PUT /function/f.dev/a%20b?c=d%20e"
    assert asked.headers["x-a"] == "1"
    assert asked.headers["x-timeout"] == "2s"
    assert asked.headers["x-call-id"] == "my-id"
    assert asked.headers["accept"].startswith("application/x-ndjson")


def test_an_asynchronous_invocation_prints_its_id(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["POST /async-function/f"] = (202, "", {"X-Call-Id": "abc"})
    assert run("invoke", "f", "--async", "--callback", "http://me/x") == (0, "abc\n", "")
    assert gateway.asked[0].headers["x-callback-url"] == "http://me/x"
    gateway.replies["POST /async-function/f"] = (413, "too large")
    assert run("invoke", "f", "--async") == (125, "", "wherry invoke: f: too large\n")


def test_secrets_are_sent_byte_for_byte_and_listed_by_name(
    gateway: FakeGateway, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "value"
    file.write_bytes(b"\x00s3cret\n")
    for line in ("POST", "PUT", "DELETE"):
        gateway.replies[f"{line} /system/secrets"] = (202, "")
    gateway.replies["GET /system/secrets"] = (200, [{"name": "key", "namespace": "n"}])
    assert run("secret", "create", "key", "--file", str(file)) == (0, "", "")
    assert run("secret", "update", "key", "-f", str(file), "-n", "dev")[0] == 0
    assert gateway.asked[0].document == {"name": "key", "rawValue": "AHMzY3JldAo="}
    assert gateway.asked[1].line == "PUT /system/secrets"
    assert gateway.asked[1].document["namespace"] == "dev"
    assert run("secret", "ls")[1] == "key\n"
    assert json.loads(run("secret", "ls", "--json")[1])[0]["name"] == "key"
    assert run("secret", "rm", "key")[1] == "key\n"
    gateway.replies["POST /system/secrets"] = (409, "there is a secret 'key'")
    assert run("secret", "create", "key", "-f", str(file))[::2] == (
        2,
        "wherry secret create: there is a secret 'key'\n",
    )


def test_namespaces_are_made_listed_and_removed(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["POST /system/namespace/"] = (201, "")
    gateway.replies["GET /system/namespaces"] = (200, ["openfaas-fn", "dev"])
    gateway.replies["DELETE /system/namespace/dev"] = (202, "")
    assert run("namespace", "create", "dev", "-l", "team=x")[0] == 0
    assert gateway.asked[0].document == {
        "name": "dev",
        "labels": {"openfaas": "1", "team": "x"},
        "annotations": {},
    }
    assert run("namespace", "ls")[1] == "openfaas-fn\ndev\n"
    assert run("namespace", "rm", "dev")[1] == "dev\n"


def test_no_gateway_is_told_with_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gateway() as gone:
        monkeypatch.setenv("WHERRY_GATEWAY", gone.url)
    code, out, err = run("ls")
    assert (code, out) == (125, "")
    assert err == (
        f"wherry ls: no gateway answers at {gone.url}; start one: `wherry serve --no-auth`, "
        "or name another with --gateway\n"
    )


def test_shells_complete_names_that_the_gateway_knows(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.replies["GET /system/functions"] = (200, [UPPER, SHOUT])
    gateway.replies["GET /system/secrets"] = (200, [{"name": "key"}])
    gateway.replies["GET /system/namespaces"] = (200, ["dev"])
    assert list(candidates(ROOT, ["describe", "up"])) == [("upper", "busybox")]
    assert list(candidates(ROOT, ["rm", "upper", ""])) == [("upper", "busybox"), ("shout", "")]
    assert list(candidates(ROOT, ["secret", "rm", ""])) == [("key", "")]
    assert list(candidates(ROOT, ["ls", "-n", ""])) == [("dev", "")]
    monkeypatch.setenv("WHERRY_GATEWAY", "unix:/no/such")
    assert list(candidates(ROOT, ["describe", ""])) == []
