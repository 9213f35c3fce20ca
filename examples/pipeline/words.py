"""Count words in three containers, the stdout of one being the stdin of the next."""

import sys
from pathlib import Path

import wherry

with wherry.from_env() as client, Path(sys.argv[1]).open("rb") as text:
    words = client.function("my/text", ["tr", "-cs", "a-z", "\n"])
    order = client.function("my/text", ["sort"])
    count = client.function("my/text", ["uniq", "-c"])
    counted = client.pipe(words, order, count, input=text).check().text

lines = [line.split() for line in counted.splitlines()]
for number, word in sorted(((int(number), word) for number, word in lines), reverse=True)[:2]:
    print(number, word)
