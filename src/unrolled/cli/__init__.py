"""The command `unrolled`, one file per command.

Each file holds one function whose signature defines the command's options and whose docstring, examples first, is its
help. Heavy imports happen when a command runs, so that `unrolled --help` answers at once. `app` assembles the commands,
`failures` turns errors into one line and an exit code, `options` derives options from a task's declaration.
"""

from unrolled.cli.app import main

__all__ = ["main"]
