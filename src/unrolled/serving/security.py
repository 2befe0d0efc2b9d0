"""States that go with the client: signed, so that only what the server wrote itself is ever read back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import zlib

from unrolled.errors import StateError

_TAG = 32
_PREFIX = "u1."


class Signer:
    """Turns states into tokens and back.

    Args:
        key: at least 16 bytes; processes that share it take each other's tokens. None draws one.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = hashlib.sha256(b"unrolled state token" + (key or secrets.token_bytes(32))).digest()

    def token(self, state: bytes) -> str:
        """The state as text."""
        body = zlib.compress(state, 1)
        return _PREFIX + base64.urlsafe_b64encode(self._tag(body) + body).decode("ascii")

    def state(self, token: str, most: int) -> bytes:
        """The state of a token.

        Args:
            token: as `token` made it.
            most: bytes of the state, at most.

        Raises:
            StateError: no token of this server (or of another key), or too large.
        """
        if not token.startswith(_PREFIX) or not token.isascii():
            raise StateError("state: no token of this server")
        try:
            raw = base64.b64decode(token[len(_PREFIX) :].encode(), altchars=b"-_", validate=True)
        except binascii.Error:
            raise StateError("state: no token of this server, or cut short") from None
        tag, body = raw[:_TAG], raw[_TAG:]
        if not hmac.compare_digest(tag, self._tag(body)):
            raise StateError(
                "state: this server did not sign it (it was changed, cut short, or made under another key)"
            )
        inflating = zlib.decompressobj()
        data = inflating.decompress(body, most)
        if inflating.unconsumed_tail:
            raise StateError(f"state: larger than {most:,} bytes")
        return data

    def _tag(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()
