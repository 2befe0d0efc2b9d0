"""What the command says when something fails: one line, and 2 for the user's fault or 1 for ours."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import typer

from unrolled.errors import UnrolledError

#: the user's fault, ours, Ctrl-C, and a reader that went away, the last two as shells count signals
USER, DEFECT, INTERRUPTED, PIPE = 2, 1, 130, 141
DEBUG = "UNROLLED_DEBUG"

# typer carried click inside from some release on: the class of its usage errors is found through one that it exports
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def exit_code(run: Callable[[], object], wants_traceback: Callable[[], bool]) -> int:
    """Run a command; say in one line why it failed, if it does.

    Args:
        run: returns an exit code, or anything else for 0.
        wants_traceback: asked when something failed.
    """
    try:
        status = run()
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except UsageError as error:
        # a lone group name answers with its help page, which needs no complaint
        message = str(error.format_message())  # type: ignore[attr-defined]
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError" or not message:
            print(message or (context.get_help() if context else ""), file=sys.stderr)
            return USER
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        return _say(message.rstrip(".") + hint, USER)
    except UnrolledError as error:
        if wants_traceback():
            traceback.print_exc()
        return _say(str(error), USER)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as end:
        # typer's own way to end when the reader went away
        if isinstance(end.__context__, BrokenPipeError):
            return _reader_left()
        raise
    except Exception as error:
        if wants_traceback():
            traceback.print_exc()
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _say(f"a defect of ours, please report it: {said} (more with unrolled --traceback …)", DEFECT)


def _reader_left() -> int:
    # Python would complain once more when it closes standard output
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return PIPE


def debugging() -> bool:
    """Whether the environment asks for tracebacks."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def _say(message: str, code: int) -> int:
    print("unrolled: error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    return code
