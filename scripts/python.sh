#!/bin/sh
# Print the Python to build the virtual environment with: 3.11 or newer, able to make one.
# PYTHON=/path chooses another. As root on Debian or Ubuntu, what is missing is installed.
set -eu

here=$(dirname "$0")

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
complete() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

choose() {
	for python in ${PYTHON:-/usr/bin/python3 python3.13 python3.12 python3.11 python3}; do
		if recent "$python"; then
			command -v "$python"
			return
		fi
	done
	return 1
}

if ! python=$(choose); then
	if [ -n "${PYTHON:-}" ]; then
		echo "PYTHON=$PYTHON is not Python 3.11 or newer" >&2
		exit 1
	fi
	"$here/apt-install.sh" python3.11 python3.11-venv >&2 || {
		echo "wherry needs Python 3.11 or newer: install it, or name it with PYTHON=/path" >&2
		exit 1
	}
	python=$(choose)
fi

if ! complete "$python"; then
	package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
	"$here/apt-install.sh" "$package" >&2 && complete "$python" || {
		echo "$python cannot make virtual environments: sudo apt-get install $package" >&2
		exit 1
	}
fi

echo "$python"
