"""Send megabytes of random data through md5sum in a container, and compare with our own digest."""

import hashlib
import os
import resource
import sys
from collections.abc import Iterator

import wherry

MEGABYTE = 1_000_000


def noise(megabytes: int, local: "hashlib._Hash") -> Iterator[bytes]:
    for _ in range(megabytes):
        data = os.urandom(MEGABYTE)
        local.update(data)
        yield data


def peak() -> float:
    """Return the most memory this process had until now, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


megabytes = int(sys.argv[1])
local = hashlib.md5(usedforsecurity=False)
wherry.run("my/md5", input=b"")  # whatever a first call needs
before = peak()

remote = wherry.run("my/md5", input=noise(megabytes, local)).split()[0]
print(f"{megabytes} MB, md5 {remote} in the container")
print(f"{megabytes} MB, md5 {local.hexdigest()} here")
if remote != local.hexdigest():
    sys.exit("these differ")
print(f"the same; this process grew by {peak() - before:.1f} MiB")
