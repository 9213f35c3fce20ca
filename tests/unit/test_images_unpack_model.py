"""Random layers, unpacked for real and in the model: both must say the same."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.layer_model import Entry, Model, Refused
from tests.support.layers import apply, directory, entry, hardlink, symlink, tar

from wherry.errors import ImageCorrupt

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(
    PATHS,
    PATHS.map("/{}".format),
    PATHS.map("../{}".format),
    st.sampled_from(["..", "/", "../../..", "a/../b"]),
)
ENTRIES = st.one_of(
    st.tuples(st.just("file"), PATHS, st.text("xyz", max_size=2)),
    st.tuples(st.just("dir"), PATHS, st.just("")),
    st.tuples(st.just("symlink"), PATHS, TARGETS),
    st.tuples(st.just("link"), PATHS, PATHS),
    st.tuples(st.sampled_from(["whiteout", "opaque"]), PATHS, st.just("")),
)
LAYERS = st.lists(st.lists(ENTRIES, max_size=8), min_size=1, max_size=4)


def archive(layer: list[Entry]) -> bytes:
    """Write a layer of the model as a tar file."""
    members = []
    for kind, path, value in layer:
        above, _, name = path.rpartition("/")
        match kind:
            case "file":
                members.append(entry(path, value.encode()))
            case "dir":
                members.append(directory(path))
            case "symlink":
                members.append(symlink(path, value))
            case "link":
                members.append(hardlink(path, value))
            case "whiteout":
                members.append(entry(f"{above}/.wh.{name}"))
            case "opaque":
                members.append(entry(f"{path}/.wh..wh..opq"))
    return tar(*members)


def listing(root: Path) -> dict[str, object]:
    """Return what Model.listing does, of a real directory."""
    found: dict[str, object] = {}
    same: dict[int, list[str]] = {}
    for top, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(top, name)
            short = str(path.relative_to(root))
            if path.is_symlink():
                found[short] = ("->", str(path.readlink()))
            else:
                found[short] = None if path.is_dir() else path.read_text()
            if path.is_symlink() or not path.is_dir():
                same.setdefault(path.lstat().st_ino, []).append(short)
    found["same"] = sorted(sorted(names) for names in same.values() if len(names) > 1)
    return found


@settings(max_examples=400)
@given(LAYERS)
@example([[("file", "a/b", "x")], [("whiteout", "a", ""), ("file", "a/c", "y")]])
@example([[("symlink", "a", "/b"), ("file", "a/c", "x")], [("opaque", "a", "")]])
@example([[("dir", "a/b", "")], [("file", "a/b/c", ""), ("link", "a", "a/b/c")]])
@example([[("symlink", "a", "a")], [("whiteout", "a/b", ""), ("link", "b", "a")]])
def test_layers_mean_what_the_model_says(layers: list[list[Entry]]) -> None:
    model = Model()
    refused = False
    try:
        for layer in layers:
            model.apply(layer)
    except Refused:
        refused = True
    with tempfile.TemporaryDirectory() as top:
        root = Path(top, "root")
        try:
            apply(root, *map(archive, layers))
        except ImageCorrupt:
            assert refused
            return
        assert not refused
        assert listing(root) == model.listing()
