"""The local engine up to the point where something starts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.local_calls import changed, function_of
from tests.support.local_harness import data_directory

from wherry.engines.local.engine import LocalEngine
from wherry.engines.local.settings import LocalSettings
from wherry.errors import EngineError, EngineUnavailable, ImageNotFound, Unsupported, UsageError
from wherry.images.model import ImageConfig
from wherry.images.rootfs_import import import_rootfs
from wherry.models import Mount

EMPTY_TAR = bytes(10240)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with data_directory() as data:
        yield data


@pytest.fixture
async def engine(data: Path) -> LocalEngine:
    """An engine that unpacks as whoever runs the tests, with an image of next to nothing."""
    engine = LocalEngine(LocalSettings(data=data))
    tar = changed(EMPTY_TAR, add={"bin": 0o755, "etc": 0o755})
    import_rootfs(engine.store, io.BytesIO(tar), reference="small", config=ImageConfig(cmd=("x",)))
    return engine


async def test_preparing_checks_everything_and_starts_nothing(engine: LocalEngine) -> None:
    await engine.prepare(function_of("true", image="small"))
    with pytest.raises(UsageError, match="workdir 'x'"):
        await engine.prepare(function_of("true", image="small", workdir="x"))
    with pytest.raises(ImageNotFound, match="'none' is not on this machine"):
        await engine.prepare(function_of("true", image="none", pull="never"))
    assert engine.running() == []
    await engine.aclose()


async def test_an_image_is_leased_while_the_engine_lives(engine: LocalEngine) -> None:
    from wherry.errors import ImageInUse

    await engine.prepare(function_of("true", image="small"))
    with pytest.raises(ImageInUse):
        engine.store.remove("small")
    await engine.aclose()
    engine.store.remove("small")


async def test_a_plan_is_made_once_for_a_definition_and_again_for_a_new_image(
    engine: LocalEngine,
) -> None:
    function = function_of("true", image="small")
    first = await engine._plan(function)
    assert await engine._plan(function) is first
    assert await engine._plan(replace(function)) is first
    assert await engine._plan(replace(function, user="7")) is not first
    assert await engine._plan(replace(function, env={"A": "1"})) is not first
    tar = changed(EMPTY_TAR, add={"bin": 0o755, "new": 0o755})
    import_rootfs(engine.store, io.BytesIO(tar), reference="small")
    assert (await engine._plan(function)).image.id != first.image.id
    await engine.aclose()


async def test_equal_functions_do_not_share_a_plan_that_looks_at_this_machine(
    engine: LocalEngine, tmp_path: Path
) -> None:
    mounts = (Mount(source=str(tmp_path), target="/in"),)
    function = function_of("true", image="small", mounts=mounts)
    first = await engine._plan(function)
    assert await engine._plan(function) is first
    assert await engine._plan(replace(function)) is not first
    await engine.aclose()


async def test_plans_are_kept_for_so_many_functions_and_no_more(engine: LocalEngine) -> None:
    for number in range(300):
        await engine._plan(function_of("true", image="small", name=f"f{number}"))
    assert len(engine._plans) == 256
    await engine.aclose()


async def test_a_limit_that_cannot_be_kept_is_refused_with_the_reason(
    data: Path, engine: LocalEngine
) -> None:
    from wherry.engines.local.cgroup import Cgroups, Support

    # Instead of what this machine can do.
    engine.__dict__["cgroups"] = Cgroups(Support(layout="none", reason="because of the tide"))
    for name in ("memory", "cpus"):
        with pytest.raises(Unsupported, match=f"limits.{name} = 7 .*here: because of the tide"):
            await engine.prepare(function_of("true", image="small", **{name: 7}))
    await engine.prepare(function_of("true", image="small", pids=7, tmp=7, timeout=7.0))
    await engine.aclose()


@pytest.mark.parametrize("name", ["memory", "cpus", "pids", "tmp"])
async def test_a_limit_must_be_positive(engine: LocalEngine, name: str) -> None:
    with pytest.raises(UsageError, match=f"limits.{name} = 0 must be more than 0"):
        await engine.prepare(function_of("true", image="small", **{name: 0}))
    await engine.aclose()


async def test_a_closed_engine_refuses_everything(engine: LocalEngine) -> None:
    await engine.aclose()
    await engine.aclose()
    with pytest.raises(EngineError, match="closed"):
        await engine.prepare(function_of("true", image="small"))


async def test_a_data_directory_that_cannot_be_used_is_tried_again_by_the_next_call(
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    engine = LocalEngine(LocalSettings(data=blocked / "data"))
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="data directory"):
            await engine.prepare(function_of("true", image="small", pull="never"))
    blocked.unlink()
    with pytest.raises(ImageNotFound):
        await engine.prepare(function_of("true", image="small", pull="never"))
    await engine.aclose()


def test_an_address_may_name_the_data_directory(tmp_path: Path) -> None:
    assert LocalEngine.connect(f"local:{tmp_path}").settings.data == tmp_path
    assert LocalEngine.connect("local").settings.data.is_absolute()


def test_making_an_engine_touches_nothing(tmp_path: Path) -> None:
    LocalEngine(LocalSettings(data=tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []
