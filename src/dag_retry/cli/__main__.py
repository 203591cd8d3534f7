"""Makes ``python -m dag_retry.cli`` the same as ``dag-retry``."""

import sys

from dag_retry.cli import main

sys.exit(main())
