"""Functions declared in wherry.toml and stack.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import UsageError
from wherry.functions.files import read_declaration, read_tables
from wherry.functions.model import Deployment, Resources
from wherry.functions.settings import LABELS, PREFIX
from wherry.functions.substitution import substitute

NOTHING: dict[str, str] = {}


def declared(path: Path, text: str, *, env: dict[str, str] = NOTHING) -> list[Deployment]:
    path.write_text(text)
    return list(read_declaration(path, variable=env.get).deployments)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "wherry.toml"


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return tmp_path / "stack.yaml"


def test_a_table_is_a_deployment_with_labels(toml: Path) -> None:
    (found,) = declared(
        toml,
        """
        [serve]
        listen = "127.0.0.1:8080"

        [functions.upper]
        image = "busybox"
        command = ["tr", "a-z", "A-Z"]
        namespace = "dev"
        env = { A = "1", N = 2, B = true }
        secrets = ["key"]
        timeout = "2s"
        concurrency = 8
        queue_wait = 0.5
        stream = true
        ready = "created:2"
        retry_codes = [75, 111]
        scale_max = 5
        memory = "128Mi"
        cpus = 0.5
        read_only = true
        annotations = { topic = "x" }
        labels = { team = "a" }
        """,
    )
    assert found == Deployment(
        service="upper",
        image="busybox",
        command=["tr", "a-z", "A-Z"],
        namespace="dev",
        env_vars={"A": "1", "N": "2", "B": "true"},
        secrets=["key"],
        labels={
            "team": "a",
            "wherry.timeout": "2s",
            "wherry.concurrency": "8",
            "wherry.queue_wait": "0.5",
            "wherry.stream": "true",
            "wherry.ready": "created:2",
            "wherry.retry_codes": "75,111",
            "com.openfaas.scale.max": "5",
        },
        limits=Resources(memory="128Mi", cpu="0.5"),
        read_only_root_filesystem=True,
        annotations={"topic": "x"},
    )


def test_what_belongs_to_others_is_handed_over_untouched(toml: Path) -> None:
    toml.write_text('[serve]\nx = 1\n[[funker]]\ny = "z"\n[functions.f]\nimage = "i"\n')
    assert read_tables(toml) == {"serve": {"x": 1}, "funker": [{"y": "z"}]}
    assert len(read_declaration(toml).deployments) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dispach.jobs]", "dispach: there is no such table; did you mean 'dispatch'?"),
        ("[schedule.x]", "schedule: there is no such table; did you mean 'schedules'?"),
        (
            "[function.f]\nimage = 'i'",
            "function: there is no such table; did you mean 'functions'?",
        ),
        ("port = 1", "port: there is no such key outside a table"),
    ],
)
def test_a_table_that_is_nobodys_is_refused_with_the_nearest(
    toml: Path, text: str, said: str
) -> None:
    toml.write_text(text)
    for read in (read_declaration, read_tables):
        with pytest.raises(UsageError) as raised:
            read(toml)
        assert str(raised.value).startswith(f"{toml}: {said}")


def test_a_pipe_and_a_whole_program_can_be_declared(toml: Path) -> None:
    shout, upper = declared(
        toml,
        '[functions.shout]\npipe = ["upper", "pad"]\n'
        '[functions.upper]\nimage = "i"\nprocess = "tr a b"',
    )
    assert shout.pipe == ["upper", "pad"]
    assert upper.env_process == "tr a b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("functions = 3", "functions: 3 must be a table"),
        ("[functions]\nf = 3", "functions.f: 3 must be a table"),
        ("[functions.f]\ntimout = 3", "functions.f: there is no 'timout'; did you mean 'timeout'?"),
        ("[functions.f]\ncommand = 'a b'", "functions.f.command: 'a b' must be a list of texts"),
        ("[functions.f]\ncommand = [1]", "functions.f.command: [1] must be a list of texts"),
        ("[functions.f]\nimage = 1", "functions.f.image: 1 must be text"),
        ("[functions.f]\nread_only = 'yes'", "functions.f.read_only: 'yes' must be true or false"),
        ("[functions.f]\nenv = { A = [1] }", "functions.f.env.A: [1] must be text"),
        ("[functions.f]\ntimeout = 2024-01-01", "must be text, a number, or true or false"),
        ("[functions.'a b']\nimage = 'i'", "functions: 'a b' is no name"),
        ("[functions.f]\nnamespace = 'a.b'", "functions.f.namespace: 'a.b' holds a dot"),
        ("[functions.f]\ntimeout = 1\nlabels = {'wherry.timeout' = '1'}",
         "functions.f: 'timeout' and the label 'wherry.timeout' are the same; give one"),
        ("[functions.f", "it is no TOML: Expected ']'"),
        ("[functions.f]\nx = 1\nx = 2", "it is no TOML: "),
    ],
)  # fmt: skip
def test_a_mistake_in_toml_names_its_place(toml: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        declared(toml, text)
    assert str(raised.value).startswith(f"{toml}: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("said", "in_the_file"),
    [
        (
            "labels.wherry.timeout: 'abc' is no duration",
            "functions.f.timeout: 'abc' is no duration",
        ),
        ("limits.memory: 'x' is no size", "functions.f.memory: 'x' is no size"),
        ("limits.cpu: 'x'", "functions.f.cpus: 'x'"),
        ("envVars.A: x", "functions.f.env.A: x"),
        ("secrets: there is no 'x'", "functions.f: secrets: there is no 'x'"),
    ],
)
def test_an_error_of_a_deployment_is_said_in_the_words_of_its_table(
    toml: Path, said: str, in_the_file: str
) -> None:
    toml.write_text('[functions.f]\nimage = "i"\n')
    declaration = read_declaration(toml)
    assert declaration.explain(declaration.deployments[0], UsageError(said)) == in_the_file


@given(st.dictionaries(st.sampled_from(sorted(LABELS)), st.integers(1, 9) | st.booleans()))
def test_every_label_can_be_a_key(values: dict[str, Any]) -> None:
    from wherry.functions import toml

    table = {name.removeprefix(PREFIX): value for name, value in values.items()}
    (found,) = toml.deployments({"functions": {"f": {"image": "i", **table}}})
    expected = {name: str(value).lower() for name, value in values.items()}
    assert (found.labels or {}) == expected


STACK = """
version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:8080
functions:
  upper:
    lang: python3
    handler: ./upper
    image: ${REGISTRY:-docker.io}/upper:${TAG:-latest}
    fprocess: tr a-z A-Z
    environment:
      write_debug: true
      port: 0080
      when: 2024-01-01
      nothing:
    environment_file: [env.yml]
    secrets: [key]
    labels:
      wherry.timeout: 2s
      com.openfaas.scale.zero: false
    annotations: {topic: a}
    limits: {memory: 128Mi, cpu: 100m}
    requests: {memory: 64Mi}
    readonly_root_filesystem: true
    constraints:
      - "node.platform.os == linux"
  other: &other
    image: busybox
    labels:
  third:
    <<: *other
    namespace: dev
"""


def test_a_stack_file_is_read_as_openfaas_reads_it(stack: Path) -> None:
    stack.with_name("env.yml").write_text("environment:\n  write_debug: no\n  MORE: ${MORE}\n")
    upper, other, third = declared(stack, STACK, env={"TAG": "7", "MORE": "x"})
    assert upper == Deployment(
        service="upper",
        image="docker.io/upper:7",
        namespace="openfaas-fn",
        env_process="tr a-z A-Z",
        env_vars={"write_debug": "no", "port": "0080", "when": "2024-01-01", "nothing": "",
                  "MORE": "x"},
        secrets=["key"],
        labels={"wherry.timeout": "2s", "com.openfaas.scale.zero": "false"},
        annotations={"topic": "a"},
        limits=Resources(memory="128Mi", cpu="100m"),
        requests=Resources(memory="64Mi"),
        read_only_root_filesystem=True,
        constraints=["node.platform.os == linux"],
    )  # fmt: skip
    assert (other.image, other.labels, other.namespace) == ("busybox", None, "openfaas-fn")
    assert (third.image, third.namespace) == ("busybox", "dev")


def test_the_files_that_were_read_are_known(stack: Path) -> None:
    env = stack.with_name("env.yml")
    env.write_text("environment:\n")
    stack.write_text(STACK)
    assert read_declaration(stack, variable=NOTHING.get).read == (stack, env)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "it is no YAML: line 1: "),
        ("- a", "the file: ['a'] must be a table"),
        ("function: {}", "there is no 'function'; did you mean 'functions'?"),
        ("provider: {name: lambda}", "provider.name: 'lambda' must be openfaas"),
        ("functions: {f: {imag: x}}", "functions.f: there is no 'imag'; did you mean 'image'?"),
        ("functions: {f: {secrets: x}}", "functions.f.secrets: 'x' must be a list of texts"),
        ("functions: {f: {image: [x]}}", "functions.f.image: ['x'] must be text"),
        ("functions: {f: {environment: [x]}}", "functions.f.environment: ['x'] must be a table"),
        ("functions: {f: {limits: {ram: x}}}", "functions.f.limits: there is no 'ram'"),
        ("functions: {f: {readonly_root_filesystem: maybe}}", "'maybe' is neither true nor false"),
        ("functions: {'a b': {image: x}}", "functions: 'a b' is no name"),
        ("functions:\n  f: {image: a}\n  f: {image: b}", "'f' is there twice"),
        ("functions: {f: {environment_file: [no.yml]}}", "'no.yml' cannot be read: No such file"),
        ("functions: {f: {image: !!python/name:os.system x}}", "it is no YAML"),
        ("a: ${B", "line 1: '${B' cannot be read; write ${NAME}"),
    ],
)
def test_a_mistake_in_a_stack_names_its_place(stack: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        declared(stack, text)
    assert str(raised.value).startswith(f"{stack}: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain $HOME $ {x} }", "plain $HOME $ {x} }"),
        ("${A}-${NONE}-", "one--"),
        ("${A:-x}${E:-x}${NONE:-x}${NONE-x}${NONE:=x}${NONE=x}", "onexxxxx"),
        ("${NONE:-${A}!}", "one!"),
        ("${NONE:-a:b-c}", "a:b-c"),
        ("${NONE:-}", ""),
        ("$${A} ${A}", "${A} one"),
    ],
)
def test_variables_are_filled_in_with_their_defaults(text: str, result: str) -> None:
    env = {"A": "one", "E": ""}
    assert substitute(text, variable=env.get) == result


@pytest.mark.parametrize("text", ["\n\n${A", "\n\n${}", "\n\n${1}", "\n\n${A^^}", "\n\n${A:-${B}"])
def test_what_is_no_variable_is_said_with_its_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"line 3: '\$\{.*write \$\{NAME\} or"):
        substitute(text, variable={"A": "x"}.get)


@given(st.text(st.sampled_from("${}:-=AB \n"), max_size=60))
def test_any_text_is_filled_in_or_a_usage_error(text: str) -> None:
    try:
        substitute(text, variable={"A": "x"}.get)
    except UsageError as error:
        assert str(error).startswith("line ")  # noqa: PT017


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'none\.toml' cannot be read: No such file"):
        read_declaration(tmp_path / "none.toml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a\xff")
    with pytest.raises(UsageError, match=r"'binary\.yaml' is no text: byte 1 is not UTF-8"):
        read_declaration(binary)
    with pytest.raises(UsageError, match=r"'none\.toml' cannot be read"):
        read_tables(tmp_path / "none.toml")
