"""The server's log: one line for each event, as text for people or as JSON for programs.

Inputs are never logged, unless the server was started with `--log-inputs`; then they are events of their own.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Format = Literal["text", "json"]
#: characters of an input that are logged
MAX_LOGGED = 2_000

access = logging.getLogger("unrolled.serving.access")


def log_event(event: str, **fields: str | int | float) -> None:
    """Log an event: a request, a push, an input."""
    if access.isEnabledFor(logging.INFO):
        access.info("%s", event, extra={"fields": fields})


def loggable(data: bytes | str, content_type: str = "application/json") -> str:
    """Return an input as the log shows it: text up to MAX_LOGGED characters, anything else by its size."""
    if isinstance(data, bytes):
        if content_type != "application/json" and not content_type.startswith("text/"):
            return f"{len(data)} bytes of {content_type or 'no type'}"
        data = data[: 4 * MAX_LOGGED].decode("utf-8", "replace")
    return data if len(data) <= MAX_LOGGED else data[:MAX_LOGGED] + "…"


class TextFormatter(logging.Formatter):
    """`12:00:00.123 request method=GET route=/healthz status=200 ms=0.4`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, followed by the traceback of a defect."""
        now = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {name}={_quoted(value)}" for name, value in getattr(record, "fields", {}).items())
        level = "" if record.levelno == logging.INFO else f" {record.levelname.lower()}:"
        line = f"{now}.{int(record.msecs):03d}{level} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """A JSON object a line: `time`, `level`, `event`, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


@contextmanager
def log_to_stderr(form: Format) -> Iterator[None]:
    """Write the log of this process to standard error for as long as the block takes."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    loggers = {"unrolled.serving": logging.INFO, "uvicorn.error": logging.WARNING}
    before = [(logger := logging.getLogger(name), logger.level, logger.propagate) for name in loggers]
    for logger, _, _ in before:
        logger.addHandler(handler)
        logger.setLevel(loggers[logger.name])
        logger.propagate = False
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=\n\r\t') else text
