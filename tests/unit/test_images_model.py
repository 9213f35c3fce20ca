"""Manifests and configurations are read strictly, and written as they were read."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.errors import ImageCorrupt
from wherry.images.model import Descriptor, ImageConfig, Manifest, Platform, diff_ids

DIGEST = "sha256:" + "1" * 64
DESCRIPTOR = {"mediaType": "x", "digest": DIGEST, "size": 5}
CONFIG = {
    "created": "2024-01-01T00:00:00Z",
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "config": {
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["true"],
        "Env": ["A=1", "B=x=y", "EMPTY="],
        "WorkingDir": "/w",
        "User": "me:us",
        "Volumes": {"/data": {}, "/a": {}},
        "StopSignal": "SIGINT",
        "Labels": {"k": "v"},
    },
}


def test_a_configuration_is_read_and_written() -> None:
    config = ImageConfig.from_json(CONFIG)
    assert config.entrypoint == ("/bin/sh", "-c")
    assert config.env == {"A": "1", "B": "x=y", "EMPTY": ""}
    assert (config.workdir, config.user, config.volumes) == ("/w", "me:us", ("/a", "/data"))
    assert (config.stop_signal, config.labels, config.variant) == ("SIGINT", {"k": "v"}, "v8")
    assert config.to_json() == CONFIG


@pytest.mark.parametrize("nothing", [{}, {"config": None}, {"config": {"Cmd": None, "Env": None}}])
def test_what_a_configuration_leaves_out_is_empty(nothing: dict[str, Any]) -> None:
    assert ImageConfig.from_json(nothing) == ImageConfig()


def test_a_descriptor_is_read_and_written() -> None:
    whole = {
        **DESCRIPTOR,
        "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
        "annotations": {"a": "b"},
    }
    read = Descriptor.from_json(whole)
    assert read.platform == Platform(os="linux", architecture="arm", variant="v7")
    assert read.to_json() == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "sha256:xyz"}, "digest 'sha256:xyz'"),
        ({"digest": None}, "digest None"),
        ({"size": -1}, "size -1"),
        ({"size": "5"}, "size must be int, not '5'"),
        ({"size": True}, "size must be int, not True"),
        ({"mediaType": 7}, "mediaType must be str"),
        ({"annotations": {"a": 1}}, "annotations must hold strings"),
        ({"platform": "linux"}, "platform must be a JSON object"),
    ],
)
def test_a_wrong_descriptor_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageCorrupt, match=message):
        Descriptor.from_json({**DESCRIPTOR, **change})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "image config must be a JSON object, not list"),
        ({"config": []}, None),
        ({"config": [1]}, "config must be a JSON object"),
        ({"config": {"Cmd": "sh"}}, "Cmd must be list, not 'sh'"),
        ({"config": {"Cmd": ["a\0b"]}}, "Cmd must be a list of strings"),
        ({"config": {"Env": [1]}}, "Env must be a list of strings"),
        ({"config": {"User": 0}}, "User must be str"),
        ({"config": {"Volumes": ["/a"]}}, "Volumes must be a JSON object"),
    ],
)
def test_a_wrong_configuration_is_named(config: Any, message: str | None) -> None:
    if message is None:
        assert ImageConfig.from_json(config) == ImageConfig()
        return
    with pytest.raises(ImageCorrupt, match=message):
        ImageConfig.from_json(config)


def test_an_index_is_no_manifest() -> None:
    with pytest.raises(ImageCorrupt, match="no config"):
        Manifest.from_json({"manifests": []})


def test_diff_ids_are_digests() -> None:
    assert diff_ids({"rootfs": {"diff_ids": [DIGEST]}}) == (DIGEST,)
    with pytest.raises(ImageCorrupt, match=r"digest '\.\./x'"):
        diff_ids({"rootfs": {"diff_ids": ["../x"]}})
    with pytest.raises(ImageCorrupt, match="rootfs must be a JSON object"):
        diff_ids({})
