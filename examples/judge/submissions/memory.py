hoard = [bytes(1_000_000) for _ in range(1000)]
