"""`python -m unrolled.cli`, which is the command `unrolled`."""

import sys

from unrolled.cli.app import main

sys.exit(main())
