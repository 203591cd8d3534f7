"""``python -m dag_retry.cli`` is ``dag-retry``."""

import sys

from dag_retry.cli import main

sys.exit(main())
