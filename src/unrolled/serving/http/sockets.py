"""The socket that the server listens on."""

from __future__ import annotations

import socket

from unrolled.errors import StorageError


def listen(host: str, port: int, option: str = "--port", unread_timeout: float | None = None) -> socket.socket:
    """Return a socket that listens.

    Args:
        host, port: where; port 0 takes any that is free.
        option: that the port was given with, for errors.
        unread_timeout: seconds after which the system ends a connection whose client does not accept what it is sent.
            Only Linux does; elsewhere a reverse proxy can.

    Raises:
        StorageError: the port can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it the body of an answer waits, some 40 ms,
    # until the client has acknowledged the head
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if unread_timeout is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        # accepted connections inherit it
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(1000 * unread_timeout)))
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise StorageError(f"{option} {port}: can't listen on {host}: {error}; name another port") from error
    bound.listen(1024)
    return bound


def address_of(bound: socket.socket) -> str:
    """Return the address of a server that listens on a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def allow_connections(count: int) -> None:
    """Raise the limit of open files for so many connections, as far as the system allows."""
    try:
        import resource
    except ImportError:
        # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
