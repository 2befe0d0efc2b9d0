"""A client of the server: httpx for requests, websockets for streams."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from unrolled.errors import ArgumentError, MissingDependencyError, UnrolledError

if TYPE_CHECKING:
    import httpx
    from websockets.sync.client import ClientConnection

#: the subprotocol that carries a WebSocket's token
BEARER = "unrolled.bearer."
#: bytes of an answer of a stream, at most
MAX_ANSWER = 2**26
#: the close code of a server that was sent too large a message
TOO_LARGE = 1009


class ServerError(UnrolledError):
    """A request that the server did not answer as asked.

    Attributes:
        status: of HTTP; 0 if the server can't be reached.
        problem: the whole object that it sent (RFC 9457).
        retry_after: seconds after which to try again, if the server said so.
    """

    def __init__(self, status: int, problem: dict[str, Any], retry_after: float | None = None) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"status {status}"))
        self.status, self.problem, self.retry_after = status, problem, retry_after


class Client:
    """A client of `unrolled serve`.

    Args:
        address: of the server.
        token: if the server needs one.
        timeout: seconds that an answer may take.

    Raises:
        ArgumentError: the address is none of HTTP.
        MissingDependencyError: httpx is not installed.

    >>> client = Client("http://127.0.0.1:8000")                         # doctest: +SKIP
    >>> client.predict("ner", "Ada Lovelace lived in London.")           # doctest: +SKIP
    {'text': 'Ada Lovelace lived in London.', 'entities': [...], ...}
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8000", *, token: str | None = None, timeout: float = 60.0
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingDependencyError("httpx", "serve", "the client") from error
        scheme = urlsplit(address).scheme
        if scheme not in ("http", "https"):
            raise ArgumentError(f"address: expected http://… or https://…, found {address!r}")
        self.address, self._token, self.timeout = address.rstrip("/"), token, timeout
        self._http = httpx.Client(
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=timeout,
            # certificates take time to load
            verify=scheme == "https",
            # nothing is left open, so that a client need not be closed
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def models(self) -> list[dict[str, Any]]:
        """Return a description of each model.

        Raises:
            ServerError: the server's answer.
        """
        models: list[dict[str, Any]] = self._ask("GET", "/v1/models")["models"]
        return models

    def predict(self, model: str, inputs: Any, **options: Any) -> Any:
        """Return the prediction for one input, or a list of them for several.

        Args:
            model: its name.
            inputs: one input, or a list: texts; paths of images, sounds, clips and tables (`Path`), or their bytes;
                or objects as docs/server.md describes them.
            options: of the task.

        Raises:
            ServerError: the server's answer.
            ArgumentError: bytes in a list whose type is not known.
        """
        given = {name: value for name, value in options.items() if value is not None}
        path = f"/v1/models/{quote(model)}/predict"
        several = isinstance(inputs, (list, tuple))
        if isinstance(inputs, (bytes, Path)):
            data = inputs.read_bytes() if isinstance(inputs, Path) else inputs
            query = f"?{urlencode(given, doseq=True)}" if given else ""
            answer = self._ask("POST", path + query, content=data, kind=_content_type(data))
        else:
            body = {"inputs": [_as_input(one) for one in (inputs if several else [inputs])], "options": given}
            answer = self._ask("POST", path, body)
        predictions = answer["predictions"]
        return predictions if several or len(predictions) != 1 else predictions[0]

    def inspect(self, model: str, given: Any, **options: Any) -> dict[str, Any]:
        """Return what happens inside a model for one input.

        Raises:
            ServerError: the server's answer.
        """
        answer: dict[str, Any] = self._ask(
            "POST", f"/v1/models/{quote(model)}/inspect", {"input": _as_input(given), **options}
        )
        return answer

    def write(self, model: str, prompt: str, **options: Any) -> Iterator[str]:
        """Yield a text that continues a prompt, in pieces as they are written.

        Raises:
            ServerError: the server's answer.
        """
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        data = json.dumps({"prompt": prompt, **options}).encode()
        with self._open("POST", f"/v1/models/{quote(model)}/write", data, headers) as response:
            for name, event in _events(response.iter_lines()):
                if name == "piece":
                    yield event["text"]
                elif name == "error":
                    raise ServerError(int(event.get("status", 0)), event)

    def stream(self, model: str, state: str | None = None, **query: Any) -> ClientStream:
        """Return a stream over a WebSocket.

        Args:
            model: its name.
            state: a token of `ClientStream.save` to continue from.
            query: of the address, e.g. `rate` of the samples that follow.

        Raises:
            ServerError: there is no such model; one without streams says so at the first push.
            MissingDependencyError: websockets is not installed.
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
                address, subprotocols=protocols, compression=None, open_timeout=self.timeout, max_size=MAX_ANSWER
            )
            # `ClientStream.close` leaves it, which may be much later
            socket = connection.__enter__()
        except InvalidStatus as error:
            response = error.response
            raise _refusal(response.status_code, bytes(response.body or b""), response.headers) from None
        except (OSError, WebSocketException) as error:
            raise ServerError(0, {"detail": f"{address}: no stream: {error}"}) from error
        stream = ClientStream(socket, self.timeout)
        if state is not None:
            stream.restore(state)
        return stream

    def _ask(
        self, method: str, path: str, body: Any = None, *, content: bytes | None = None, kind: str = "application/json"
    ) -> Any:
        data = content if body is None else json.dumps(body).encode()
        with self._open(method, path, data, {} if data is None else {"Content-Type": kind}) as response:
            return json.loads(response.read())

    @contextmanager
    def _open(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open a response that is fine.

        Raises:
            ServerError: it is not, or the server can't be reached.
        """
        import httpx

        try:
            with self._http.stream(method, self.address + path, content=data, headers=headers) as response:
                if response.is_error:
                    raise _refusal(response.status_code, response.read(), response.headers)
                yield response
        except httpx.HTTPError as error:
            raise ServerError(0, {"detail": f"{self.address}: can't be reached: {error}"}) from error


class ClientStream:
    """A stream of a server; closed at the end of a `with`.

    Attributes:
        farewell: the token that the server sent before it stopped, with which the stream can continue elsewhere.
    """

    def __init__(self, socket: ClientConnection, timeout: float) -> None:
        self._socket, self._timeout, self._last = socket, timeout, 0
        self.farewell: str | None = None

    def push(self, **given: Any) -> Any:
        """Push, and return the answer: e.g. `push(text="Thank you")`, `push(rewrite="Thank")`, `push(values=[1.5])`.

        Raises:
            ServerError: the server's answer; or the connection has ended.
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
        """Return the state of the stream as a token."""
        token: str = self._ask(save=True)["state"]
        return token

    def restore(self, state: str) -> None:
        """Continue from a token."""
        self._ask(restore=state)

    def reset(self) -> None:
        """Begin again, with nothing read."""
        self._ask(reset=True)

    def close(self) -> None:
        """End the stream."""
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
            # the server may have said why; this ends with an error
            while True:
                self._answer(None)

    def _answer(self, wanted: int | None) -> dict[str, Any]:
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                answer: dict[str, Any] = json.loads(self._socket.recv(timeout=self._timeout))
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code == TOO_LARGE:
                    raise ServerError(413, {"detail": "the stream has ended: the message was too large"}) from error
                raise ServerError(0, {"detail": f"the stream has ended: {error}"}) from error
            except TimeoutError as error:
                raise ServerError(0, {"detail": f"no answer within {self._timeout:g} s"}) from error
            if "closing" in answer:
                self.farewell = answer.get("state")
            elif answer.get("id") == wanted or answer.get("id") is None:
                if "error" in answer:
                    raise ServerError(int(answer["error"].get("status", 0)), answer["error"])
                return answer


def _refusal(status: int, body: bytes, headers: Mapping[str, str]) -> ServerError:
    """Return the error of a response; a proxy may have sent it, and then it is no problem of RFC 9457."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": body.decode("utf-8", "replace")[:500]}
    after = headers.get("Retry-After", "")
    return ServerError(status, problem, float(after) if after.isdigit() else None)


def _as_input(given: Any) -> Any:
    """Return an input as JSON."""
    data = given.read_bytes() if isinstance(given, Path) else given
    if not isinstance(data, bytes):
        return given
    kind = _content_type(data)
    if kind == "text/csv":
        try:
            return {"table": data.decode("utf-8")}
        except UnicodeDecodeError as error:
            raise ArgumentError(
                f"input: neither a table in UTF-8 (see byte {error.start}) nor an image, sound or clip of a known "
                'type; name what it is, as in {"image": BASE64}'
            ) from None
    name = {"image": "image", "audio": "sound", "video": "clip"}[kind.partition("/")[0]]
    return {name: base64.b64encode(data).decode("ascii")}


#: how files of these types begin
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
)


def _content_type(data: bytes) -> str:
    """Return the content type of a file by its first bytes; anything unknown is taken for a table."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}.get(data[8:12], "audio/wav")
    if data[4:8] == b"ftyp":
        return "video/mp4"
    return "text/csv"


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Yield server-sent events: their names and their data, which is JSON."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])
