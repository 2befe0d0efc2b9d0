"""A client of the server, in plain Python: no library but the standard one for requests, `websockets` for streams."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

from unrolled.errors import ArgumentError, MissingDependencyError, UnrolledError

BEARER = "unrolled.bearer."


class ServerError(UnrolledError):
    """What a server said that it can't do.

    Attributes:
        status: of HTTP; 0 if it can't be reached.
        problem: the whole object that it sent (RFC 9457).
        retry_after: seconds after which to come back, if it said so.
    """

    def __init__(self, status: int, problem: dict[str, Any], retry_after: float | None = None) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"status {status}"))
        self.status, self.problem, self.retry_after = status, problem, retry_after


class Client:
    """Asks a server of `unrolled serve`.

    Args:
        address: of the server.
        token: if it asks for one.
        timeout: seconds that an answer may take.

    >>> client = Client("http://127.0.0.1:8000")                         # doctest: +SKIP
    >>> client.predict("ner", "Ada Lovelace lived in London.")           # doctest: +SKIP
    {'text': 'Ada Lovelace lived in London.', 'entities': [...], ...}
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8000", *, token: str | None = None, timeout: float = 60.0
    ) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise ArgumentError(f"address: expected http://… or https://…, found {address!r}")
        self.address, self._token, self.timeout = address.rstrip("/"), token, timeout

    def models(self) -> list[dict[str, Any]]:
        """The models that it serves."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/models")["models"]
        return found

    def predict(self, model: str, inputs: Any, **options: Any) -> Any:
        """The prediction for one input, or a list of them for several.

        Args:
            model: its name.
            inputs: one input, or a list: texts; paths of images, sounds, clips and tables (`Path`), or their bytes;
                or objects as docs/server.md describes them.
            options: of the task.

        Raises:
            ServerError: what the server said.
            ArgumentError: bytes in a list of which nothing shows what they are.
        """
        several = isinstance(inputs, (list, tuple))
        if not several and isinstance(inputs, (bytes, Path)):
            data = inputs.read_bytes() if isinstance(inputs, Path) else inputs
            query = urlencode({k: v for k, v in options.items() if v is not None}, doseq=True)
            path = f"/v1/models/{quote(model)}/predict" + (f"?{query}" if query else "")
            found = self._ask("POST", path, data, _kind_of(data))["predictions"]
        else:
            given = [_as_input(one) for one in (inputs if several else [inputs])]
            body = {"inputs": given, "options": {k: v for k, v in options.items() if v is not None}}
            found = self._ask("POST", f"/v1/models/{quote(model)}/predict", body)["predictions"]
        return found if several or len(found) != 1 else found[0]

    def inspect(self, model: str, given: Any, **options: Any) -> dict[str, Any]:
        """What happens inside a model for one input.

        Raises:
            ServerError: what the server said.
        """
        body = {"input": _as_input(given), **options}
        return self._ask("POST", f"/v1/models/{quote(model)}/inspect", body)

    def write(self, model: str, prompt: str, **options: Any) -> Iterator[str]:
        """A text written on from a prompt, in pieces as they come.

        Raises:
            ServerError: what the server said.
        """
        body = {"prompt": prompt, **options}
        path = f"/v1/models/{quote(model)}/write"
        with self._open("POST", path, body, accept="text/event-stream") as response:
            for name, data in _events(response):
                if name == "piece":
                    yield data["text"]
                elif name == "error":
                    raise ServerError(int(data.get("status", 0)), data)

    def stream(self, model: str, state: str | None = None, **query: Any) -> ClientStream:
        """A stream over a WebSocket.

        Args:
            model: its name.
            state: a token of `ClientStream.save` to go on from.
            query: of the address, e.g. `rate` of the samples that follow.

        Raises:
            ServerError: it can't be had; of a model that has no streams, the first push says so.
            MissingDependencyError: the library websockets is not installed.
        """
        try:
            from websockets.exceptions import InvalidStatus, WebSocketException
            from websockets.sync.client import connect
            from websockets.typing import Subprotocol
        except ImportError as error:
            raise MissingDependencyError("websockets", "serve", "streams of the client") from error
        address = f"ws{self.address[4:]}/v1/models/{quote(model)}/stream" + (f"?{urlencode(query)}" if query else "")
        protocols = None if self._token is None else [Subprotocol(BEARER + self._token)]
        try:
            connection = connect(
                address, subprotocols=protocols, compression=None, open_timeout=self.timeout, max_size=2**26
            )
            # entered, and left by `ClientStream.close`, which may be much later
            socket = connection.__enter__()
        except InvalidStatus as error:
            raise _refused(
                error.response.status_code, bytes(error.response.body or b""), error.response.headers
            ) from None
        except (OSError, WebSocketException) as error:
            raise ServerError(0, {"detail": f"{address}: no stream: {error}"}) from error
        stream = ClientStream(socket, self.timeout)
        if state is not None:
            stream.restore(state)
        return stream

    def _ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        with self._open(method, path, body, kind) as response:
            return json.loads(response.read())

    def _open(self, method: str, path: str, body: Any, kind: str = "application/json", accept: str = "*/*") -> Any:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Accept": accept} | ({} if data is None else {"Content-Type": kind})
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            return urlopen(Request(self.address + path, data, headers, method=method), timeout=self.timeout)
        except HTTPError as error:
            raise _refused(error.code, error.read(), error.headers) from None
        except (URLError, OSError) as error:
            raise ServerError(0, {"detail": f"{self.address}: can't be reached: {error}"}) from error


class ClientStream:
    """A stream of a server; closed at the end of a `with`.

    Attributes:
        farewell: the token that the server sent before it stopped; the stream can go on from it elsewhere.
    """

    def __init__(self, socket: Any, timeout: float) -> None:
        self._socket, self._timeout, self._last = socket, timeout, 0
        self.farewell: str | None = None

    def push(self, **given: Any) -> Any:
        """Push, and wait for the answer: e.g. `push(text="Thank you")`, `push(rewrite="Thank")`, `push(values=[1.5])`.

        Raises:
            ServerError: what the server said; or the connection has ended.
        """
        return self._ask(push=given)["result"]

    def push_samples(self, samples: bytes | Sequence[float]) -> Any:
        """Push sound: float32 samples, little-endian, at the rate that the stream was opened with.

        Raises:
            ServerError: as `push`.
        """
        import numpy as np

        data = samples if isinstance(samples, bytes) else np.asarray(samples, dtype="<f4").tobytes()
        self._send(data)
        return self._answer(None)["result"]

    def save(self) -> str:
        """A token of where the stream is."""
        token: str = self._ask(save=True)["state"]
        return token

    def restore(self, state: str) -> None:
        """Go on from a token."""
        self._ask(restore=state)

    def reset(self) -> None:
        """Begin again."""
        self._ask(reset=True)

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def __enter__(self) -> ClientStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, **message: Any) -> dict[str, Any]:
        self._last += 1
        self._send(json.dumps({"id": self._last, **message}))
        return self._answer(self._last)

    def _send(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._socket.send(message)
        except ConnectionClosed:
            # it may have said why; this ends with an error
            while True:
                self._answer(None)

    def _answer(self, wanted: int | None) -> dict[str, Any]:
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                answer: dict[str, Any] = json.loads(self._socket.recv(timeout=self._timeout))
            except (ConnectionClosed, TimeoutError) as error:
                raise ServerError(0, {"detail": f"the stream has ended: {error}"}) from error
            if "closing" in answer:
                self.farewell = answer.get("state")
            elif answer.get("id") == wanted or answer.get("id") is None:
                if "error" in answer:
                    raise ServerError(int(answer["error"].get("status", 0)), answer["error"])
                return answer


def _refused(status: int, body: bytes, headers: Any) -> ServerError:
    """What a response says that is not fine; whoever stands between may have sent it, and no problem."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": body.decode("utf-8", "replace")[:500]}
    after = headers.get("Retry-After", "")
    return ServerError(status, problem, float(after) if after.isdigit() else None)


def _as_input(given: Any) -> Any:
    """An input as JSON."""
    data = given.read_bytes() if isinstance(given, Path) else given
    if not isinstance(data, bytes):
        return given
    kind = _kind_of(data)
    if kind == "text/csv":
        try:
            return {"table": data.decode("utf-8")}
        except UnicodeDecodeError as error:
            raise ArgumentError(
                f"input: neither a table in UTF-8 (byte {error.start} is none) nor an image, a sound or a clip of a "
                'kind that is known; name what it is, as in {"image": BASE64}'
            ) from None
    name = {"image": "image", "audio": "sound", "video": "clip"}[kind.partition("/")[0]]
    return {name: base64.b64encode(data).decode("ascii")}


#: how files of these types begin
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
)


def _kind_of(data: bytes) -> str:
    """The content type of a file, by how it begins; what is none of these is taken as a table."""
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}.get(data[8:12], "audio/wav")
    if data[4:8] == b"ftyp":
        return "video/mp4"
    return "text/csv"


def _events(response: Any) -> Iterator[tuple[str, Any]]:
    """Server-sent events: their names and their data, which is JSON."""
    name = ""
    for line in response:
        text = line.decode("utf-8").rstrip("\r\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            yield name, json.loads(text[6:])
