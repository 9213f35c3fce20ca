"""The ``[dispatch.NAME]`` tables of ``wherry.toml``, and addresses of brokers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.certificates import make_certificates

from wherry.errors import UsageError
from wherry.models import Exit
from wherry.server.dispatch_table import KEYS, DispatchTable, tables_of
from wherry.server.options import ServeOptions
from wherry.triggers.amqp.address import Address
from wherry.triggers.amqp.policy import Policy

URL = 'url = "amqp://mq.example/"\n'


def read(directory: Path, text: str, *more: str) -> tuple[DispatchTable, ...]:
    files = []
    for number, each in enumerate((text, *more)):
        path = directory / f"{number}.toml"
        path.write_text(each)
        files.append(path)
    return tables_of(ServeOptions(data_dir=directory, files=tuple(files), grace=7.0))


def test_a_table_has_what_the_command_has(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/word\n")
    (made,) = read(
        tmp_path,
        """
[dispatch.jobs]
url = "amqps://me@mq.example:5699/a%2Fb?heartbeat=10&connection_timeout=2500"
password_file = "password"
queue = "work"
passive = true
queue_type = "quorum"
concurrency = 9
ack_timeout = "1h"
exit = { "3,4" = "requeue", "5" = "ack" }
exit_other = "requeue"
retry = ["1s", 2, "1m30s"]
timeout = "2m"
max_output = "1k"
[dispatch.jobs.policy]
images = ["ghcr.io/me/*"]
mounts = ["/srv/in"]
""",
    )
    options = made.options
    url = "amqps://me:p%40ss%2Fword@mq.example:5699/a%2Fb?heartbeat=10"
    assert (options.url, options.patience, made.shown) == (
        url, 2.5, "amqps://mq.example:5699/a/b"
    )  # fmt: skip
    assert (options.queue, options.passive, options.queue_type) == ("work", True, "quorum")
    assert (options.concurrency, options.ack_timeout, options.grace) == (9, 3600.0, 7.0)
    assert options.delays == (1.0, 2.0, 90.0)
    assert [made.codes.fate(Exit(code)) for code in (0, 3, 4, 5, 6)] == [
        "ack", "requeue", "requeue", "ack", "requeue"
    ]  # fmt: skip
    assert (made.timeout, made.max_output) == (120.0, 1024)
    assert options.policy == Policy(images=("ghcr.io/me/*",), mounts=("/srv/in",))
    assert "p%40ss" not in repr(made)


def test_what_is_left_out_is_as_with_the_command(tmp_path: Path) -> None:
    one, two = read(tmp_path, f"[dispatch.one]\n{URL}[dispatch.two]\n{URL}")
    assert (one.options.queue, two.options.queue) == ("one", "two")
    assert (one.options.place, two.options.place) == (
        "mq.example:5672// one",
        "mq.example:5672// two",
    )
    assert one.options.policy == Policy()
    assert (one.timeout, one.options.concurrency) == (None, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (URL.replace("url", "dispatch.url"), "must be in a table with a name, as [dispatch.jobs]"),
        ("dispatch = 1", "dispatch: 1 must be a table"),
        (f'[dispatch."a/b"]\n{URL}', "dispatch.a/b: it must be a name without '/'"),
        ("[dispatch.jobs]", "dispatch.jobs.url: it is missing"),
        (
            f'[dispatch.jobs]\n{URL}queue = "{"q" * 231}"',
            "dispatch.jobs.queue: 'qqqqqqqqqqqqqqqqqqqq'…",
        ),
        (f"[dispatch.{'q' * 231}]\n{URL}", "must have at most 230 bytes"),
        (f'[dispatch.jobs]\n{URL}queue = "a\\u0000b"', "dispatch.jobs.queue: 'a\\x00b' holds"),
        (f'[dispatch.jobs]\n{URL}retry = ["50d"]', "dispatch.jobs.retry: 4.32e+06 s is too long"),
        (f'[dispatch.jobs]\n{URL}qeue = "a"', "there is no 'qeue'; did you mean 'queue'?"),
        ("[dispatch.jobs]\nurl = 1", "dispatch.jobs.url: 1 must be text"),
        ('[dispatch.jobs]\nurl = "http://a"', "dispatch.jobs.url: it must be amqp:// or amqps://"),
        (f'[dispatch.jobs]\n{URL}password_file = "no"', "password_file: 'no' cannot be read"),
        (f"[dispatch.jobs]\n{URL}concurrency = 0", "concurrency: 0 must be a whole number from 1"),
        (f"[dispatch.jobs]\n{URL}concurrency = true", "concurrency: True must be"),
        (f'[dispatch.jobs]\n{URL}passive = "yes"', "passive: 'yes' must be true or false"),
        (f'[dispatch.jobs]\n{URL}queue_type = "lazy"', "'lazy' must be classic or quorum"),
        (f'[dispatch.jobs]\n{URL}retry = "1s"', "retry: '1s' must be a list of times"),
        (f'[dispatch.jobs]\n{URL}retry = ["soon"]', "retry: 'soon' is no duration"),
        (f"[dispatch.jobs]\n{URL}timeout = 0", "timeout: 0 leaves no time"),
        (f'[dispatch.jobs]\n{URL}max_output = "big"', "max_output: 'big'"),
        (f'[dispatch.jobs]\n{URL}exit = {{"x" = "ack"}}', "dispatch.jobs.exit: 'x=ack' must be"),
        (f'[dispatch.jobs]\n{URL}exit_other = "no"', "jobs.exit_other: 'no' must be ack, requeue"),
        (f'[dispatch.jobs]\n{URL}policy = {{image = ["a"]}}', "policy: there is no 'image'; did"),
        (f'[dispatch.a]\n{URL}queue = "b"\n[dispatch.b]\n{URL}', "dispatch.a has queue 'b' of"),
    ],
)
def test_a_mistake_is_named_with_its_file_its_field_and_what_is_right(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/0.toml: dispatch")
    assert said in str(caught.value)


def test_the_record_knows_a_queue_by_its_broker_however_that_is_written(tmp_path: Path) -> None:
    same = ["amqp://mq", "amqp://mq:5672/", "amqp://me@mq/%2F?heartbeat=5"]
    others = ["amqp://mq/a%2Fb", "amqps://mq/", "amqp://mq:5673"]
    places = [
        read(tmp_path, f'[dispatch.{name}]\nqueue = "q"\nurl = "{url}"')[0].options.place
        for name, url in zip("abcdef", same + others, strict=True)
    ]
    assert places[:3] == ["mq:5672// q"] * 3
    assert places[3:] == ["mq:5672/a/b q", "mq:5671// q", "mq:5673// q"]


def test_two_files_cannot_have_the_same_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1\.toml: dispatch\.a: another file has it"):
        read(tmp_path, f"[dispatch.a]\n{URL}", f"[dispatch.a]\n{URL}")


def test_an_address_with_a_password_needs_no_file_of_one() -> None:
    with pytest.raises(UsageError, match="so does a file") as caught:
        Address.parse("amqp://a:swordfish@b/", name="url", password="other")
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("heartbeet=3", "there is no option 'heartbeet'; did you mean 'heartbeat'?"),
        ("heartbeat=-1", "heartbeat: '-1' must be a whole number from 0 to 65534"),
        ("connection_timeout=1s", "connection_timeout: '1s' must be a whole number"),
        ("verify=maybe", "verify: 'maybe' must be verify_peer or verify_none"),
        ("cacertfile=/nowhere.pem", "cafile: '/nowhere.pem' cannot be read: No such file"),
        ("keyfile=/etc/hostname", "there is no certfile"),
        ("cafile=/etc/hostname", "holds no certificate"),
    ],
)
def test_options_of_an_address_that_cannot_be_are_named(query: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.parse(f"amqps://user:swordfish@mq/?{query}", name="AMQPADDR")
    assert said in str(caught.value)
    assert "swordfish" not in str(caught.value)


def test_the_options_that_rabbitmq_documents_are_understood(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    address = Address.parse(
        f"amqps://mq/?cacertfile={made.ca}&certfile={made.cert}&keyfile={made.key}"
        "&verify=verify_none&channel_max=9&auth_mechanism=external",
        name="AMQPADDR",
    )
    query = address.url.partition("?")[2].replace("%2F", "/")
    assert query == (
        f"cafile={made.ca}&certfile={made.cert}&keyfile={made.key}&no_verify_ssl=1&auth=external"
    )
    assert address.shown == "amqps://mq"


def test_files_that_an_address_names_in_a_file_lie_beside_it(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    (table,) = read(tmp_path, f'[dispatch.a]\nurl = "amqps://mq/?cafile={made.ca.name}"')
    assert table.options.url.replace("%2F", "/") == f"amqps://mq/?cafile={made.ca}"


def test_the_configuration_page_has_every_key_of_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text()
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in KEYS.items())
    assert rows in page, f"it is to have this table:\n{rows}"
