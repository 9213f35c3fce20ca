"""Callers that go on until they are told to stop, and note what came of each of their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


class Load:
    """Calls made by threads, one after the other in each."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        """What was answered, and how often; ``refused`` where nobody took the call."""
        self._stop = Event()

    def stop(self) -> None:
        """Make no further calls."""
        self._stop.set()

    def loop(self, call: Callable[[], str]) -> None:
        while not self._stop.is_set():
            try:
                answer = call()
            except ConnectionRefusedError:
                answer = "refused"
                self._stop.wait(0.02)
            except OSError as error:
                answer = repr(error)
            self.answers[answer] += 1


@contextmanager
def loading(call: Callable[[], str], *, callers: int) -> Iterator[Load]:
    """Call again and again for the block."""
    load = Load()
    threads = [Thread(target=load.loop, args=(call,), daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
