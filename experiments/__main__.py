"""`python -m experiments <job> [options]`."""

import sys

from experiments.framework.command_line import main

if __name__ == "__main__":
    sys.exit(main())
