"""Programs run for moments in tests: there, compiling quickly matters more than running quickly.

Jobs that tests start inherit the flags. Flags that are set already are left as they are:
`XLA_FLAGS= make test` compiles what tests call themselves as it is compiled for users.
"""

import os

from tests.experiments.fast import FAST_COMPILE

os.environ.setdefault("XLA_FLAGS", FAST_COMPILE)
