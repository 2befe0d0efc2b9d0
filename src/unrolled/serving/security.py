"""Who may use the server: host names, origins, the bearer token, headers of every response, signed states."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import itsdangerous
from starlette.types import Scope

from unrolled.errors import ArgumentError, StateError
from unrolled.serving.client import BEARER
from unrolled.serving.problems import Problem
from unrolled.storage import storage_error

#: names of a server that is bound to the loopback interface
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: addresses that need no token: the page, and whether the server is alive
OPEN = ("/", "/static/", "/healthz", "/readyz", "/favicon.ico")
#: characters of a token or key, at least
LEAST_SECRET = 16

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: headers of every response, unless it has its own of that name
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", PAGE_POLICY.encode()),
)


@dataclass(frozen=True)
class Access:
    """Who may use the server.

    Attributes:
        hosts: names that it is addressed by, in lower case and without ports; empty for any.
        token: what requests must carry; None asks for nothing.
    """

    hosts: frozenset[str] = frozenset()
    token: str | None = None

    def authorise(self, scope: Scope) -> None:
        """Authorise a request, or a WebSocket.

        Raises:
            Problem: 400 for a malformed Host or Origin; 403 for a foreign one; 401 without the token.
        """
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            origin = headers.get(b"origin")
            foreign = origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host.lower()
        except ValueError:
            raise Problem(400, "Host or Origin: not an address") from None
        if self.hosts and name not in self.hosts:
            raise Problem(403, f"Host: {name or 'no name'!r} is not a name of this server; see --allow-host")
        if foreign:
            raise Problem(403, "Origin: pages of other origins may not use this server")
        if self.token is not None and not _is_open(scope["path"]):
            given = _bearer(scope)
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                reason = "the token is wrong" if given else "a token is needed"
                raise Problem(401, f"{reason}: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})


def _is_open(path: str) -> bool:
    return any(path == one or (one != "/" and one.endswith("/") and path.startswith(one)) for one in OPEN)


def _bearer(scope: Scope) -> str:
    """Return the token that a request carries; empty if there is none."""
    if scope["type"] == "websocket":
        protocols: list[str] = scope.get("subprotocols", [])
        return next((one[len(BEARER) :] for one in protocols if one.startswith(BEARER)), "")
    scheme, _, token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")
    return str(token) if scheme.lower() == "bearer" else ""


class StateSigner:
    """Turns states of streams into signed tokens and back: only states of this server are ever read.

    Args:
        key: the secret; processes that share it accept each other's tokens. None draws one.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._signer = itsdangerous.Signer(
            key or secrets.token_bytes(32),
            salt=b"unrolled.state",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )

    def token(self, state: bytes) -> str:
        """Return a state as text."""
        return self._signer.sign(base64.urlsafe_b64encode(zlib.compress(state, 1))).decode("ascii")

    def state(self, token: str, most: int) -> bytes:
        """Return the state of a token.

        Args:
            token: as `token` made it.
            most: bytes of the state, at most.

        Raises:
            StateError: the token was not signed by this server, or the state is too large.
        """
        try:
            signed = self._signer.unsign(token.encode("utf-8", "replace"))
        except itsdangerous.BadSignature:
            raise StateError(
                "state: this server did not sign it (it was changed, cut short, or made under another key)"
            ) from None
        inflating = zlib.decompressobj()
        state = inflating.decompress(base64.urlsafe_b64decode(signed), most)
        if inflating.unconsumed_tail:
            raise StateError(f"state: larger than {most:,} bytes")
        return state


def read_secret(path: Path, option: str) -> str:
    """Return the secret of a file.

    Args:
        path: the file.
        option: the option that names it, for errors.

    Raises:
        StorageError: the file can't be read.
        ArgumentError: it is not text, too short, or has spaces in it.
    """
    try:
        secret = path.read_text("utf-8").strip()
    except OSError as error:
        raise storage_error(error, path, f"reading {option}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{option} {path}: expected text") from error
    if len(secret) < LEAST_SECRET or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ArgumentError(
            f"{option} {path}: expected at least {LEAST_SECRET} printable ASCII characters without spaces; one way to "
            'make them: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return secret
