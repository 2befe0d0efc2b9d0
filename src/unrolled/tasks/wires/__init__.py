"""How each use is spoken to over HTTP: what an input looks like as JSON, what comes back, how a stream is fed.

A task names its wire (`Task.wire`), and the server knows no more of it: it walks over the wire to make typed routes,
their documentation and the page's tabs. A wire reads what strangers send, so nothing in it touches the file system,
and everything in it is bounded.
"""

from unrolled.tasks.wires.base import Bounds, Message, Push, TooLarge, Wire, served_options
from unrolled.tasks.wires.rewriting import Rewritable

__all__ = ["Bounds", "Message", "Push", "Rewritable", "TooLarge", "Wire", "served_options"]
