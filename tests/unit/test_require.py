import os
from pathlib import Path

import pytest
from tests.support.require import missing, require


def test_a_missing_part_is_skipped_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHERRY_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        require("no-such-program")


def test_a_missing_part_is_a_failure_where_everything_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WHERRY_REQUIRE", "all")
    with pytest.raises(pytest.fail.Exception, match="an engine"):
        missing("an engine")


def test_a_program_that_is_there_is_named_by_its_path() -> None:
    assert require("sh").endswith("/sh")


def test_children_of_tests_see_none_of_the_callers_certificates_or_homes(environment: Path) -> None:
    assert "SSL_CERT_FILE" not in os.environ
    assert os.environ["HOME"].startswith(str(environment))
