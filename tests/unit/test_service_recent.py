from __future__ import annotations

import pytest
from tests.support.functions import deployed

from wherry.errors import ConcurrencyReached
from wherry.models import Exit
from wherry.service import recent
from wherry.service.call import Call
from wherry.service.recent import STEP, STEPS, Recent, Summary


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ended(name: str = "upper", *, seconds: float = 0.1, code: int = 0) -> Call:
    return Call(
        id="1", deployed=deployed(name), trigger="http", began=50.0, started=50.0,
        ended=50.0 + seconds, exit=Exit(code),
    )  # fmt: skip


def refused() -> Call:
    return Call(
        id="1", deployed=deployed("upper"), trigger="http", began=50.0, ended=50.0,
        error=ConcurrencyReached("no place"),
    )  # fmt: skip


def test_a_function_that_nobody_called_has_no_latency() -> None:
    assert Recent().summary("upper.openfaas-fn") == Summary()


def test_percentiles_are_right_within_a_tenth() -> None:
    heard = Recent(clock=Clock())
    for number in range(1, 101):
        heard.ended(ended(seconds=number / 100))
    found = heard.summary("upper.openfaas-fn")
    assert found.calls == 100
    assert found.p50 == pytest.approx(0.5, rel=0.1)
    assert found.p99 == pytest.approx(0.99, rel=0.1)


def test_failures_and_refusals_count_and_a_refusal_has_no_latency() -> None:
    heard = Recent(clock=Clock())
    heard.ended(ended(code=1))
    heard.ended(ended())
    heard.ended(refused())
    found = heard.summary()
    assert (found.calls, found.failed) == (3, 2)
    assert found.failing == pytest.approx(2 / 3)
    only = Recent(clock=Clock())
    only.ended(refused())
    assert only.summary().p50 is None


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock = Clock()
    heard = Recent(clock=clock)
    for _ in range(30):
        heard.ended(ended())
    assert heard.summary().rate == 0.5
    clock.now += 90
    assert (heard.summary().rate, heard.summary().calls) == (0.0, 30)


def test_what_is_older_than_ten_minutes_is_forgotten() -> None:
    clock = Clock()
    heard = Recent(clock=clock)
    heard.ended(ended())
    assert heard.active() == {"upper.openfaas-fn"}
    clock.now += STEP * STEPS + STEP
    assert heard.summary() == Summary()
    assert heard.active() == set()


def test_a_series_leaves_out_the_step_that_is_not_over() -> None:
    clock = Clock()
    heard = Recent(clock=clock)
    heard.ended(ended(code=2))
    assert set(heard.series().rate) == {0.0}
    clock.now += STEP
    found = heard.series(steps=3)
    assert found.rate == (0.0, 0.0, 1 / STEP)
    assert found.failed == (0.0, 0.0, 1 / STEP)
    assert found.p50[:2] == (None, None)
    assert found.p50[2] == pytest.approx(0.1, rel=0.1)


def test_functions_are_kept_apart_and_a_removed_one_is_forgotten() -> None:
    heard = Recent(clock=Clock())
    heard.ended(ended("one"))
    heard.ended(ended("two"))
    heard.changed("one.openfaas-fn", None)
    assert heard.active() == {"two.openfaas-fn"}
    assert heard.summary().calls == 2


def test_no_more_functions_are_remembered_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "FUNCTIONS", 2)
    heard = Recent(clock=Clock())
    for name in ("one", "two", "one", "three"):
        heard.ended(ended(name))
    assert heard.active() == {"one.openfaas-fn", "three.openfaas-fn"}
