"""The command `unrolled`, one file per command.

Each file holds one function whose signature is the command's options and whose docstring, examples first, is its help.
Everything heavy is imported when a command runs, so that `unrolled --help` answers at once. `app` puts the commands
together, `failures` turns errors into one line and an exit code, `options` makes options of a task's declaration.
"""

from unrolled.cli.app import main

__all__ = ["main"]
