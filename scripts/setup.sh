#!/bin/sh
# Make a virtual environment with wherry in it, every package pinned by version and hash.
#   setup.sh DIRECTORY          what wherry needs to run
#   setup.sh DIRECTORY tools    what its tests, lint and type checks need
#   setup.sh DIRECTORY bench    what draws the benchmark's pictures
set -eu

venv=$1
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -qq "$@"; }

if [ "${2:-}" = tools ]; then
	pip install --no-deps --require-hashes -r constraints-dev.txt
	exit
fi
if [ "${2:-}" = bench ]; then
	pip install --no-deps --require-hashes -r constraints-bench.txt
	exit
fi

if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	python=$(scripts/python.sh)
	echo "making $venv with $python"
	"$python" -m venv --clear "$venv"
fi
pip install --no-deps --require-hashes -r constraints.txt
pip install --no-deps --no-build-isolation --no-index --editable .
