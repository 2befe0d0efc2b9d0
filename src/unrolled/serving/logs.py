"""The server's log: one line for each thing that happened, for people or, as JSON, for programs.

What people send is never in it, unless the server was told to (`--log-inputs`); then it is a field of its own.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Literal

Format = Literal["text", "json"]
#: characters of an input that are logged
MOST = 2_000

access = logging.getLogger("unrolled.serving.access")


def happened(event: str, **fields: Any) -> None:
    """Log something that happened: a request, a push, an input."""
    if access.isEnabledFor(logging.INFO):
        access.info("%s", event, extra={"fields": fields})


def shown(data: bytes | str, content_type: str = "application/json") -> str:
    """An input as the log shows it: text as it is, up to MOST characters, anything else by its size."""
    if isinstance(data, bytes):
        if content_type != "application/json" and not content_type.startswith("text/"):
            return f"{len(data)} bytes of {content_type or 'no type'}"
        data = data[: 4 * MOST].decode("utf-8", "replace")
    return data if len(data) <= MOST else data[:MOST] + "…"


class Plain(logging.Formatter):
    """`12:00:00.123 request method=GET route=/healthz status=200 ms=0.4`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback of a defect."""
        now = time.strftime("%H:%M:%S", time.localtime(record.created))
        told = record.getMessage()
        for name, value in getattr(record, "fields", {}).items():
            told += f" {name}={_quoted(value)}"
        level = "" if record.levelno == logging.INFO else f" {record.levelname.lower()}:"
        line = f"{now}.{int(record.msecs):03d}{level} {told}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Lines(logging.Formatter):
    """A JSON object a line: `time`, `level`, `event`, and what belongs to it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)


def start_log(form: Format) -> None:
    """Write the log of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines() if form == "json" else Plain())
    for name, level in (("unrolled.serving", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=\n\r\t') else text
