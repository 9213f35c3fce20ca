"""JSON on stdin to JSON on stdout: the count, mean and median of numbers."""

import json
import statistics
import sys

numbers = json.load(sys.stdin)["numbers"]
try:
    answer = {
        "count": len(numbers),
        "mean": float(statistics.mean(numbers)),
        "median": statistics.median(numbers),
    }
except statistics.StatisticsError as error:
    sys.exit(str(error))
print(json.dumps(answer))
