from __future__ import annotations

import subprocess
import sys

import pytest

import wherry
from wherry import errors, models
from wherry.engines import SCHEMES, connect
from wherry.errors import UsageError

SLOW = {"asyncio", "dataclasses", "typing", "aiohttp", "rich", "h11", "inspect", "logging"}


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_wherry_loads_nothing_that_takes_time() -> None:
    ours = modules_after("import wherry") - modules_after("pass")
    assert ours == {"wherry", "wherry._version", "__future__"} - modules_after("pass")
    assert not ours & SLOW


def test_calling_an_image_loads_no_package_of_other_engines() -> None:
    code = (
        "import os; os.environ['WHERRY_ENGINE'] = 'memory'; import wherry\n"
        "assert wherry.run('busybox', ['echo', 'hi']) == 'hi\\n'"
    )
    loaded = modules_after(code)
    assert "wherry.sync" in loaded
    assert not loaded & {"aiohttp", "rich", "h11", "zstandard"}
    assert not [name for name in loaded if name.startswith(("wherry.images", "wherry.cli."))]
    assert not [name for name in loaded if name.startswith("wherry.engines.local")]


def test_every_public_name_exists_and_is_listed() -> None:
    assert wherry.__all__ == sorted(
        wherry.__all__, key=lambda n: (not n.isupper(), n[0] in "_abcdefghijklmnopqrstuvwxyz", n)
    )
    for name in wherry.__all__:
        assert getattr(wherry, name) is getattr(wherry, name)
    assert set(wherry.__all__) <= set(dir(wherry))
    names = {
        *("run", "invoke", "start", "popen", "map", "function", "prepare", "from_env"),
        *("asgi", "wsgi", "pipe", "start_pipe", "Pipeline", "PipelineResult", "Stage"),
        *("Client", "AsyncClient", "BoundFunction", "Process", "PIPE", "STDOUT", "DEVNULL"),
        *("Function", "Invocation", "Limits", "Mount", "Secret", "File", "Collect", "Ready"),
        *("Output", "Exit", "Result", "__version__"),
        *(name for name, value in vars(errors).items() if _is_error(value)),
    }
    assert set(wherry.__all__) == names


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, errors.WherryError)


def test_every_model_is_public() -> None:
    ours = {
        name
        for name, value in vars(models).items()
        if isinstance(value, type) and value.__module__ == "wherry.models"
    }
    assert ours <= set(wherry.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'wherry' has no attribute 'rnu'"):
        wherry.rnu  # noqa: B018


def test_an_engine_is_found_by_the_scheme_of_its_name() -> None:
    from wherry.testing import MemoryEngine

    assert isinstance(connect("memory"), MemoryEngine)
    with pytest.raises(
        UsageError, match="engine 'lokal': there is no 'lokal'; did you mean 'local'"
    ):
        connect("lokal")
    with pytest.raises(UsageError, match="there is no ''"):
        connect("")
    assert {"local", "memory", "docker"} <= set(SCHEMES)
