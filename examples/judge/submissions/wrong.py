import sys

print(1 + sum(int(word) for word in sys.stdin.read().split()))
