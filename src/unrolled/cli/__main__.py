"""Runs the command: `python -m unrolled.cli` is `unrolled`."""

import sys

from unrolled.cli.app import main

sys.exit(main())
