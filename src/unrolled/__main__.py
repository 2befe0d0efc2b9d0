"""`python -m unrolled`: the command, as a module that torchrun can start."""

import sys

from unrolled.cli import main

sys.exit(main())
