"""``dag-retry sweep``, which counts a failed run as unclaimed after 10 s, and not after 5 minutes."""

from __future__ import annotations

from datetime import timedelta

from dag_retry.cli.main import main
from dag_retry.sweeper.sweeper import Sweeper

if __name__ == "__main__":
    assert Sweeper.__init__.__kwdefaults__ is not None
    Sweeper.__init__.__kwdefaults__["grace"] = timedelta(seconds=10)
    main(["sweep"])
