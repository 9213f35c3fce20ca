"""Call an image and print what it returned."""

import wherry

print(repr(wherry.from_env().run("bfirsh/leftpad", ["foo", "5"])))
