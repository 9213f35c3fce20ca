"""Call the function with numbers from the command line."""

import json
import sys

import wherry

with wherry.from_env() as client:
    stats = client.function("my/stats", timeout="10s", stdout_limit="64k")
    try:
        answer = json.loads(stats(json.dumps({"numbers": [float(word) for word in sys.argv[1:]]})))
    except wherry.FunctionError as error:
        print("the function failed:", error.stderr.decode().strip())
    else:
        print(f"mean {answer['mean']}, median {answer['median']:g}")
