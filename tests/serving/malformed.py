"""Malformed bodies and frames: seeded mutations of valid ones. Used by tests and by benchmarks/fuzz_server.py."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

#: values that are often not thought of
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, -0.0, 2**63, -(2**63), 2**70, 0.1, "", " ", "\0", "é" * 50, "\U0001f600",
    "\u202e",
    "../../etc/passwd", "NaN", [], [[]], {}, {"": {}}, [None], "x" * 5_000, {"$ref": "#"}, [1] * 300, "true", "1",
)  # fmt: skip
#: bytes put into JSON
CUTS = (b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u", b"\\ud800",
        b"NaN", b"Infinity", b"1e999", b"-", b"//", b"[" * 500, b"\r\n\r\n", b"9" * 400)  # fmt: skip
HEADERS = (
    {"Content-Type": "text/plain"}, {"Content-Type": ""}, {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Encoding": "gzip"}, {"Accept": "\x80"},
    {"Accept": "text/event-stream"}, {"X-Request-Id": "x" * 3_000}, {"Origin": "null"},
    {"Accept": "*"}, {"Authorization": "Bearer \xff"},
    {"Content-Type": "application/json\x0b"}, {"Cookie": "a=b; " * 200}, {"Expect": "100-continue"},
    {"Range": "bytes=0-"},
)  # fmt: skip


class Sent(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def bodies(count: int, seed: int, models: dict[str, str]) -> Iterator[Sent]:
    """Malformed requests for models of the tasks `generate` and `classify`, by name."""
    draw = random.Random(seed)
    for _ in range(count):
        name, task = draw.choice(list(models.items()))
        where = draw.choice(("predict", "step", "streams", "inspect", "write", "streams/none", "nothing"))
        valid: dict[str, Any] = {
            "predict": {"inputs": ["Thank you", "a b"], "options": {"n": 1} if task == "generate" else {"words": True}},
            "step": {"push": {"text": "ab"}, "state": None},
            "streams": {"state": None},
            "inspect": {"input": "ab"},
            "write": {"prompt": "ab", "max_tokens": 3, "seed": 1, "stop": ["x"]},
        }.get(where, {"text": "ab"})
        path = f"/v1/models/{name}/{where}"
        if draw.random() < 0.1:
            at = draw.randrange(len(path))
            path = (
                path[:at]
                + draw.choice(("%00", "%ff", "..", "//", "%2f", "?a=b&a=c", "?n=x", "%", ";", "é"))
                + path[at:]
            )
        headers = {"Content-Type": "application/json"}
        if draw.random() < 0.15:
            headers |= draw.choice(HEADERS)
        method = (
            "POST" if draw.random() < 0.93 else draw.choice(("GET", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "X"))
        )
        yield Sent(method, path, headers, cut(draw, json.dumps(odd(draw, valid)).encode()))


def frames(count: int, seed: int) -> Iterator[str | bytes]:
    """Malformed messages of a WebSocket."""
    draw = random.Random(seed)
    valid: tuple[dict[str, Any], ...] = (
        {"id": 1, "push": {"text": "ab", "n": 1}}, {"id": "x", "push": {"rewrite": "abc", "suggest": False}},
        {"id": 2, "save": True}, {"id": 3, "fork": "b"}, {"id": 4, "stream": "b", "push": {"text": ""}},
        {"id": 5, "restore": "u1.AAAA"}, {"id": 6, "reset": True}, {"id": 7, "drop": "b"},
    )  # fmt: skip
    for _ in range(count):
        data = cut(draw, json.dumps(odd(draw, draw.choice(valid))).encode())
        try:
            yield data.decode("utf-8") if draw.random() < 0.95 else data
        except UnicodeDecodeError:
            # text that is no UTF-8 ends the connection, as it must; as a binary message it is only refused
            yield data


def odd(draw: random.Random, value: Any) -> Any:
    """A value with something changed in it, or left as it is."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        found = dict(value)
        key = draw.choice(list(found))
        change = draw.random()
        if change < 0.15:
            del found[key]
        elif change < 0.3:
            found[str(draw.choice(ODD))[:100]] = draw.choice(ODD)
        else:
            found[key] = odd(draw, found[key])
        return found
    if isinstance(value, list) and value and draw.random() < 0.6:
        place = draw.randrange(len(value))
        return [*value[:place], odd(draw, value[place]), *value[place + 1 :]]
    return draw.choice(ODD) if draw.random() < 0.7 else value


def cut(draw: random.Random, data: bytes) -> bytes:
    """Bytes with some cut off, put in, or changed; half of them as they are."""
    change = draw.random()
    at = draw.randrange(len(data) + 1)
    if change < 0.5:
        return data
    if change < 0.65:
        return data[:at]
    if change < 0.9:
        return data[:at] + draw.choice(CUTS) + data[at:]
    return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
