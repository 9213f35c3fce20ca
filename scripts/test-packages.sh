#!/bin/sh
# As root: install the Debian packages that the tests of real parts want, only what is missing.
# As anybody else: do nothing; what is missing is skipped, or an error with WHERRY_REQUIRE=all.
set -eu

[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0

missing=
need() { # PROGRAM PACKAGE [OTHER-PACKAGE]: the first package that this release has
	command -v "$1" >/dev/null && return
	shift
	for package in "$@"; do
		if apt-cache show "$package" >/dev/null 2>&1; then
			missing="$missing $package"
			return
		fi
	done
	missing="$missing $1"
}

PATH=$PATH:/usr/sbin:/sbin
need dockerd docker.io
need docker docker-cli docker.io
need docker-registry docker-registry
need skopeo skopeo
need musl-gcc musl-tools
need slirp4netns slirp4netns
need newuidmap uidmap
need zstd zstd
need zsh zsh
need fish fish
need pnmtojpeg netpbm
need strace strace
need setpriv util-linux
need ip iproute2
need ps procps
need curl curl
need chromium chromium
need rabbitmqctl rabbitmq-server
dpkg -s busybox-static >/dev/null 2>&1 || missing="$missing busybox-static"

[ -z "$missing" ] || "$(dirname "$0")/apt-install.sh" $missing
