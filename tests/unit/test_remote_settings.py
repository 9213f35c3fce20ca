"""What a remote container API is told: options and DS_* variables, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import make_certificates

from wherry.cli import remote
from wherry.errors import UsageError
from wherry.remote.logfiles import LogFiles
from wherry.remote.options import OPTIONS, read_settings
from wherry.remote.settings import RemoteSettings
from wherry.remote.unused import unused
from wherry.server.tls import Certificate


def read(*words: str, environ: dict[str, str] | None = None) -> RemoteSettings:
    args = remote.parser().parse(words)
    given = {option.field: getattr(args, option.field) for option in OPTIONS}
    return read_settings(given, (environ or {}).get, engine="docker:")


def test_without_a_token_nothing_is_served() -> None:
    with pytest.raises(UsageError, match="--token: there is none"):
        read()
    with pytest.raises(UsageError, match="--token"):
        read("--token", " ")


@pytest.mark.parametrize("token", ["xxxxxx", "xxxxxxxxxxxxxxxxxxxxxxxx", "x"])
def test_the_token_that_everybody_knows_is_for_this_machine_alone(token: str) -> None:
    for host in ([], ["--host", "0.0.0.0"], ["--host", "::"], ["--host", "example.org"]):
        with pytest.raises(UsageError, match="everybody knows"):
            read("--token", token, *host)
    for name in ("127.0.0.1", "::1", "[::1]", "localhost"):
        assert read("--token", token, "--host", name).token == token


def test_the_defaults_are_those_of_the_contract() -> None:
    made = read("--token", "t")
    assert made == RemoteSettings(token="t")
    assert (made.port, made.low_burst, made.mid_burst, made.high_burst) == (1717, 60, 180, 300)
    assert (made.refresh_rate, made.cache_interval) == (30.0, 3.0)
    assert (made.folder, made.s3, made.cluster, made.https) == (
        "/tmp/docker-server",
        None,
        False,
        False,
    )
    assert (made.log_level, made.log_expiry, made.log_max_size) == (
        "info",
        14 * 86400,
        25 * 1024**2,
    )
    assert (str(made.cert), str(made.key)) == ("/certs/cert.pem", "/certs/privkey.pem")


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--port", "80"], "port", 80),
        (["--port=80"], "port", 80),
        (["--low_burst", "1"], "low_burst", 1),
        (["--low-burst", "1"], "low_burst", 1),
        (["--mid_burst", "0"], "mid_burst", 0),
        (["--high_burst", "9"], "high_burst", 9),
        (["--cluster"], "cluster", True),
        (["--strict"], "strict", True),
        (["--refresh_rate", "500"], "refresh_rate", 0.5),
        (["--cache_interval", "1"], "cache_interval", 0.001),
        (["--folder", "/x"], "folder", "/x"),
        (["--s3", "bucket"], "s3", "bucket"),
        (["--log_level", "DEBUG"], "log_level", "debug"),
        (["--log_lovel", "warn"], "log_level", "warn"),
        (["--log_expiry", "0.5"], "log_expiry", 43200.0),
        (["--log_max_size", "1"], "log_max_size", 1024 * 1024),
        (["--timeout", "1m30s"], "timeout", 90.0),
        (["--body_limit", "1k"], "body_limit", 1024),
        (["--mounts", "/a, /b/**:ro"], "mounts", ("/a", "/b/**:ro")),
    ],
)
def test_an_option_may_be_a_flag_or_a_variable(words: list[str], field: str, value: Any) -> None:
    assert getattr(read("--token", "t", *words), field) == value
    text = words[-1] if len(words) > 1 else words[0].partition("=")[2] or "true"
    environ = {"DS_TOKEN": "t", f"DS_{field.upper()}": text}
    assert getattr(read(environ=environ), field) == value


def test_a_flag_counts_before_the_environment() -> None:
    made = read("--port", "1", "--token", "a", environ={"DS_PORT": "2", "DS_TOKEN": "b"})
    assert (made.port, made.token) == (1, "a")
    assert read(environ={"DS_TOKEN": "b", "DS_CLUSTER": "false", "DS_PORT": ""}).cluster is False


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DS_PORT", "x"), ("DS_PORT", "65536"), ("DS_PORT", "-1"), ("DS_LOW_BURST", "1.5"),
     ("DS_REFRESH_RATE", "0"), ("DS_REFRESH_RATE", "nan"), ("DS_LOG_LEVEL", "loud"),
     ("DS_HTTPS", "maybe"), ("DS_S3_ENDPOINT", "ftp://x"), ("DS_TIMEOUT", "x"),
     ("DS_MOUNTS", "../x:y"), ("DS_TOKEN_FILE", "/proc/nothing")],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_its_name(variable: str, value: str) -> None:
    environ = {variable: value} | ({} if variable == "DS_TOKEN_FILE" else {"DS_TOKEN": "t"})
    with pytest.raises(UsageError, match=r"(?i)" + variable.removeprefix("DS_")):
        read(environ=environ)


def test_a_token_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    made = read("--token_file", str(tmp_path / "token"))
    assert made.token == "s3cret"
    assert "s3cret" not in repr(made)


def test_https_without_its_files_is_refused(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    missing = str(tmp_path / "nope.pem")
    cert, key = ["--cert", str(made.server_cert)], ["--key", str(made.server_key)]
    for words in (["--cert", missing, *key], [*cert, "--key", missing],
                  [*cert, *key, "--chain", missing]):  # fmt: skip
        with pytest.raises(UsageError, match=r"nope\.pem: there is no such file"):
            read("--token", "t", "--https", *words)
    assert read("--token", "t", "--https", *cert, *key).scheme == "https"
    assert read("--token", "t", "--cert", missing).scheme == "http"


def test_a_chain_is_served_with_its_certificate(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    served = Certificate(made.server_cert, made.server_key, chain=made.ca, option="--cert")
    assert not served.renew()
    made.ca.write_bytes(made.ca.read_bytes() + b"\n")
    assert served.renew()
    with pytest.raises(UsageError, match="--cert"):
        Certificate(made.server_cert, made.key, option="--cert")


def test_a_chain_that_is_none_is_refused_and_not_left_out(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    chain = tmp_path / "chain.pem"
    for text in (b"", b"no certificate at all\n", made.server_key.read_bytes()):
        chain.write_bytes(text)
        with pytest.raises(UsageError, match=r"--cert: .*chain\.pem has no certificates"):
            Certificate(made.server_cert, made.server_key, chain=chain, option="--cert")


def test_options_that_do_nothing_are_named() -> None:
    assert unused(read("--token", "t")) == []
    made = read("--token", "t", "--cert", "c.pem", "--log_expiry", "3", "--s3", "bucket")
    assert unused(made) == [
        "--cert does nothing without --https",
        "--log_expiry does nothing without --log_folder",
        "--s3 does nothing without --cluster",
    ]
    made = read(
        "--token", "t", "--cluster", "--s3", "bucket", "--log_folder", "x", "--log_max_size", "1"
    )
    assert unused(made) == []


def lines(folder: Path) -> list[list[str]]:
    return [path.read_text().splitlines() for path in sorted(folder.iterdir())]


def written(files: LogFiles, text: str) -> None:
    files.emit(logging.LogRecord("wherry", logging.INFO, __file__, 1, text, (), None))


def test_log_files_are_bounded_in_size(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "log"
    files = LogFiles(folder, max_size=10, expiry=60, clock=lambda: 1000.0)
    for text in ("12345", "67", "89", "long, longer than that", "x"):
        written(files, text)
    files.close()
    assert lines(folder) == [["12345", "67"], ["89"], ["long, longer than that"], ["x"]]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_two_servers_of_one_process_number_and_second_write_to_files_of_their_own(
    tmp_path: Path,
) -> None:
    for text in ("one", "two"):
        files = LogFiles(tmp_path, max_size=10, expiry=5e9, clock=lambda: 4e9)
        written(files, text)
        files.close()
    assert sorted(lines(tmp_path)) == [["one"], ["two"]]


def test_log_files_that_are_too_old_are_removed_and_nothing_else(tmp_path: Path) -> None:
    now = [1000.0]
    first = LogFiles(tmp_path, max_size=10, expiry=60, clock=lambda: now[0])
    written(first, "old")
    first.close()
    (tmp_path / "mine.log").touch()
    now[0] = max(path.stat().st_mtime for path in tmp_path.iterdir()) + 61
    second = LogFiles(tmp_path, max_size=10, expiry=60, clock=lambda: now[0])
    written(second, "new")
    second.close()
    assert lines(tmp_path) == [["new"], []]


def test_a_log_file_that_cannot_be_begun_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "log"
    files = LogFiles(folder, max_size=5, expiry=60)
    failed: list[logging.LogRecord] = []
    monkeypatch.setattr(files, "handleError", failed.append)
    written(files, "first")
    folder.rename(tmp_path / "away")
    written(files, "lost")
    folder.mkdir()
    written(files, "last")
    files.close()
    assert lines(folder) == [["last"]]
    assert [record.getMessage() for record in failed] == ["lost"]


def test_a_log_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--log_folder: .*file: it is a file"):
        LogFiles(tmp_path / "file", max_size=1, expiry=1)


def test_the_greeting_ends_with_where_it_listens() -> None:
    text = remote.greeting(RemoteSettings(token="s3cret"), ["http://127.0.0.1:1717"])
    assert text.splitlines()[-1] == "ready http://127.0.0.1:1717"
    assert "s3cret" not in text
