#!/bin/sh
# The main job, shown: images made of this machine's own programs, then called as functions.
# No Docker, no root, no network. Everything it makes is below .demo.
set -eu

PATH=$1:$PATH
export WHERRY_ENGINE=local WHERRY_DATA_DIR="$PWD/.demo/data"
mkdir -p .demo

seconds() { date +%s.%N; }
show() { # COMMAND LINE: print it, run it, say how long it took
	printf '\n$ %s\n' "$1"
	began=$(seconds)
	sh -euc "$1"
	printf '  (%s s)\n' "$(echo "$(seconds) $began" | awk '{ printf "%.2f", $1 - $2 }')"
}
same() { # EXPECTED ACTUAL
	[ "$1" = "$2" ] && return
	echo "demo: expected '$1' and got '$2'" >&2
	exit 1
}

started=$(seconds)
echo "Two images out of programs of this machine:"
show 'wherry image from-host busybox sh cat tr sort uniq head md5sum'
cat >.demo/leftpad <<'PROGRAM'
#!/bin/sh
printf '%*s\n' "$2" "$1"
PROGRAM
chmod +x .demo/leftpad
show 'wherry image from-host bfirsh/leftpad sh --file .demo/leftpad:/bin/leftpad --entrypoint leftpad'

echo
echo "An image called on the command line, and from Python:"
show 'echo hello | wherry run busybox tr a-z A-Z'
same HELLO "$(echo hello | wherry run busybox tr a-z A-Z)"
show "python -c 'import wherry; print(repr(wherry.from_env().run(\"bfirsh/leftpad\", [\"foo\", \"5\"])))'"

echo
echo "A real file through a pipeline of three containers: the most frequent words of the licence"
show "wherry run busybox tr -cs A-Za-z '\n' <LICENSE | wherry run busybox sort |
    wherry run busybox uniq -c | sort -rn | head -n 3"

echo
echo "100 MB streamed through a digest, in a container and on the host:"
head -c 100000000 /dev/urandom >.demo/random
show 'wherry run busybox md5sum <.demo/random'
show 'md5sum <.demo/random'
same "$(md5sum <.demo/random)" "$(wherry run busybox md5sum <.demo/random)"
rm .demo/random

printf '\nThe whole demo took %s s.\n' "$(echo "$(seconds) $started" | awk '{ printf "%.1f", $1 - $2 }')"
