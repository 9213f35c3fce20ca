#!/bin/sh
# Install Debian packages as root, without starting the services that come with them.
set -eu

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "not installed here: $*" >&2
	exit 1
fi

# Packages ask this program whether they may start their service; 101 is no
# (Debian's invoke-rc.d and deb-systemd-invoke). One that is there already is the admin's.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qq -y --no-install-recommends --no-remove "$@" >/dev/null; }

echo "installing Debian packages: $*"
install "$@" 2>/dev/null || { apt-get update -qq && install "$@"; }
