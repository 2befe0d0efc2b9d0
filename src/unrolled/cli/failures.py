"""Turns errors into one line and an exit code: 2 for user errors, 1 for defects of ours."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import typer

from unrolled.errors import UnrolledError
from unrolled.terminal import say

#: a user error, a defect of ours, Ctrl-C, and a closed pipe, the last two as shells count signals
USER, DEFECT, INTERRUPTED, PIPE = 2, 1, 130, 141
DEBUG = "UNROLLED_DEBUG"

#: what torch says where Python says MemoryError
_NO_MEMORY = ("can't allocate memory", "out of memory")
_LESS = "use a smaller --batch-size, --window or --hidden-size, or less data at a time"

# some releases of typer bundle click: the class of usage errors is reached through one that typer exports
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def exit_code(run: Callable[[], object], wants_traceback: Callable[[], bool]) -> int:
    """Run a command and return its exit code, after printing one line about its error, if any.

    Args:
        run: returns an exit code, or anything else for 0.
        wants_traceback: called when something failed.
    """
    try:
        status = run()
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except UsageError as error:
        # a group's name alone prints its help page, without an error message
        message = str(error.format_message())  # type: ignore[attr-defined]
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError" or not message:
            say(message or (context.get_help() if context else ""), file=sys.stderr)
            return USER
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        return _report(message.rstrip(".") + hint, USER)
    except UnrolledError as error:
        if wants_traceback():
            traceback.print_exc()
        return _report(str(error), USER)
    except (KeyboardInterrupt, typer.Abort):
        return _report("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _pipe_closed()
    except SystemExit as end:
        # typer exits this way when the pipe is closed
        if isinstance(end.__context__, BrokenPipeError):
            return _pipe_closed()
        raise
    except Exception as error:
        if wants_traceback():
            traceback.print_exc()
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            return _report(f"there is not enough memory for this; {_LESS}; what was saved is whole", USER)
        description = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _report(f"a defect of ours, please report it: {description} (more with unrolled --traceback …)", DEFECT)


def _pipe_closed() -> int:
    # or Python would complain again when it closes standard output
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return PIPE


def debugging() -> bool:
    """Return whether the environment asks for tracebacks."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def _report(message: str, code: int) -> int:
    say("unrolled: error: " + " ".join(message.split()), file=sys.stderr)
    return code
