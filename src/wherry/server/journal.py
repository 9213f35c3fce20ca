"""Our log: one JSON object a line, on stderr."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as JSON: time, level, what happened, and the data in ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        for name, value in record.__dict__.items():
            if name == "access":
                line |= value
            elif name not in _OWN:
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def keep_journal(
    *, access: bool, level: int = logging.INFO, files: logging.Handler | None = None
) -> None:
    """Log everything of ours to stderr from now on; requests only with ``access``.

    ``files`` gets the same lines.
    """
    handlers = [logging.StreamHandler(), *([files] if files else [])]
    for handler in handlers:
        handler.setFormatter(JsonLines())
    ours = logging.getLogger("wherry")
    ours.handlers = handlers
    ours.setLevel(level)
    ours.propagate = False
    logging.getLogger("wherry.access").setLevel(level if access else logging.WARNING)
    logging.getLogger("asyncio").handlers = handlers
    for name in ("aiormq", "aio_pika"):  # they log what they raise as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
