"""Count words in three containers, the stdout of one being the stdin of the next."""

import sys
from pathlib import Path

import wherry
from wherry import PIPE

with wherry.from_env() as client, Path(sys.argv[1]).open("rb") as text:
    words = client.popen("my/text", ["tr", "-cs", "a-z", "\n"], stdin=text, stdout=PIPE)
    order = client.popen("my/text", ["sort"], stdin=words.stdout, stdout=PIPE)
    count = client.popen("my/text", ["uniq", "-c"], stdin=order.stdout, stdout=PIPE)
    counted, _ = count.communicate()
    for process in (words, order, count):
        if process.wait() != 0:
            sys.exit(f"{process.args} {process.exit}")

lines = [line.split() for line in (counted or b"").decode().splitlines()]
for number, word in sorted(((int(number), word) for number, word in lines), reverse=True)[:2]:
    print(number, word)
