"""HTML out: a trained network as one page, its C compiled to WebAssembly, which runs with no server.

`page.c` is what the page calls of the C source; `model.js` holds the model for JavaScript, `page.js` what is seen.
"""

from unrolled.export.html.file import to_html

__all__ = ["to_html"]
