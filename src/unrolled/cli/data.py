"""`unrolled data`: the standard data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from unrolled.cli.arguments import AsJson
from unrolled.cli.check import CHECK_HELP, CheckGroup
from unrolled.cli.console import print_json, progress_line
from unrolled.cli.layout import CONTEXT, Command, new_group
from unrolled.terminal import say

HELP = """
  unrolled data list
  unrolled data get tinyshakespeare
  unrolled train generate "$(unrolled data get tinyshakespeare)" --out shakespeare
  unrolled data check tag my.conll                        before a run is spent on it

Fetch standard data sets from their publishers, verified by checksum (each has its own licence), and check your own
data.
"""

data_app = new_group(HELP)
data_app.add_typer(new_group(CHECK_HELP, CheckGroup), name="check", short_help="print how data is read, and its faults")


@data_app.command("list", cls=Command, context_settings=CONTEXT, short_help="names, sizes and licences")
def list_sets(as_json: AsJson = False) -> None:
    """
      unrolled data list
      unrolled data list --json | jq -r .name

    List the data sets that `get` knows: name, size, description, licence. With --json one object per line, with
    checksums.
    """
    from unrolled.data.standard.sets import CATALOGUE

    width = max(map(len, CATALOGUE))
    for name, data_set in CATALOGUE.items():
        if as_json:
            files = [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in data_set.files]
            about = {"description": data_set.description, "licence": data_set.licence, "address": data_set.address}
            print_json({"name": name, "size": data_set.size, **about, "files": files})
        else:
            say(f"{name:<{width}}  {size(data_set.size):>8}  {data_set.description}")
            say(f"{'':<{width}}  {'':>8}  licence: {data_set.licence}")


@data_app.command("get", cls=Command, context_settings=CONTEXT, short_help="fetch a data set and print its folder")
def get_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a name from `unrolled data list`")],
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL|DIR", help="where to fetch it from; also UNROLLED_MIRROR", show_default=False),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="where to keep it; also UNROLLED_CACHE", show_default=False),
    ] = None,
) -> None:
    """
      unrolled data get tinyshakespeare
      unrolled data get ptb --mirror https://my.mirror/sets --cache ~/sets
      ls "$(unrolled data get sst2 --mirror /media/stick)"

    Fetch a data set, unless it is already there, and print its folder. Every file is verified by its checksum, wherever
    it comes from. Licence, size and checksums go to standard error.
    """
    from unrolled.data.standard import fetch

    data_set = fetch.find(name)
    with progress_line() as line:
        folder = fetch.get(
            name,
            mirror=mirror,
            cache=cache,
            progress=lambda file, done, of: line(f"fetching {file}", done, of or None),
        )
    say(f"{name}: {data_set.description}; {size(data_set.size)}; licence: {data_set.licence}", file=sys.stderr)
    for file in data_set.files:
        say(f"  {file.name}: {file.size:,} bytes, sha256 {file.sha256}", file=sys.stderr)
    say(str(folder))


def size(count: int) -> str:
    """Return a number of bytes in readable form.

    >>> size(180), size(1115394)
    ('180 B', '1.1 MB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
