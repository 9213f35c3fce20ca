#!/bin/sh
# Write constraints.txt (to run and build), constraints-dev.txt (the tools on top of it) and
# constraints-bench.txt (what draws the benchmark's pictures, on top of both): the newest
# versions that pyproject.toml allows, with the hashes of all their files.
set -eu

venv=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$venv/bin/python" -m venv "$work/uv"
"$work/uv/bin/python" -m pip --quiet install uv
compile() {
	"$work/uv/bin/uv" pip compile --quiet --universal --upgrade --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url "$@"
}
printf 'hatchling\neditables\n' >"$work/build.in"
compile pyproject.toml "$work/build.in" -o "$work/run.txt"
compile pyproject.toml --extra dev -c "$work/run.txt" -o "$work/all.txt"
compile pyproject.toml --extra dev --extra bench -c "$work/all.txt" -o "$work/drawn.txt"
"$venv/bin/python" scripts/lock_rest.py "$work/run.txt" "$work/all.txt" >"$work/dev.txt"
"$venv/bin/python" scripts/lock_rest.py "$work/all.txt" "$work/drawn.txt" >"$work/bench.txt"
cp "$work/run.txt" constraints.txt
cp "$work/dev.txt" constraints-dev.txt
cp "$work/bench.txt" constraints-bench.txt
