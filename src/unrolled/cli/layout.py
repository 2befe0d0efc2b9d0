"""The layout of help pages: examples first, then usage, then the options in their groups."""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: the width of help pages, on a terminal and in docs/cli.md
WIDTH = 100
#: stands before texts that would be taken for options; no argument of a process has it
AS_TEXT = "\0"
_OPTION = re.compile(r"--?[A-Za-z][\w-]*(=.*)?", re.DOTALL)
CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}


class _ExamplesFirst:
    """Mixin of typer's classes that prints the docstring, which begins with examples, above the usage line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if options.get("help"):
            # \b is click's mark for a paragraph whose lines are not wrapped; `cleandoc`, which typer calls too, removes
            # the first line's indentation of 2
            options["help"] = "\b\n  " + inspect.cleandoc(options["help"]).lstrip()
        super().__init__(*args, **options)

    def format_help(self: Any, ctx: Any, formatter: Any) -> None:
        self.format_help_text(ctx, formatter)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if param.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(param, "rich_help_panel", None) or usual, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=34)
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)


class Command(_ExamplesFirst, TyperCommand):
    """One command."""


class TextCommand(Command):
    """A command whose arguments are texts, which may begin with a hyphen."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the arguments; one that begins with a hyphen and can't be the name of an option is a text."""
        valued = {name for p in self.params if not getattr(p, "is_flag", True) for name in p.opts}
        end = args.index("--") if "--" in args else len(args)
        marked = [
            AS_TEXT + argument if begins_text(argument) and before not in valued else argument
            for before, argument in zip(("", *args), args[:end], strict=False)
        ]
        try:
            return super().parse_args(ctx, [*marked, *args[end:]])
        except Exception as error:
            if type(error).__name__ == "NoSuchOption":
                error.message += "; a text that begins with a hyphen stands behind --"  # type: ignore[attr-defined]
            raise


def begins_text(argument: str) -> bool:
    """Return whether an argument begins with a hyphen and can't be the name of an option.

    >>> [begins_text(text) for text in ("-5 degrees", "--", "--json", "-h", "- yes", "plain")]
    [True, False, False, False, True, False]
    """
    return argument.startswith("-") and argument not in ("-", "--") and not _OPTION.fullmatch(argument)


class Group(_ExamplesFirst, TyperGroup):
    """A command with subcommands."""


def new_group(help_text: str, cls: type[Group] = Group) -> typer.Typer:
    """Return a `typer.Typer` with this layout of help pages."""
    return typer.Typer(
        help=help_text,
        cls=cls,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )


def lone_command(
    function: Any, name: str, help_text: str | None = None, short_help: str | None = None, cls: type[Command] = Command
) -> Any:
    """Return a click command made from one function, outside any group."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=cls, help=help_text, short_help=short_help, context_settings=CONTEXT)(function)
    return typer.main.get_command(app)
