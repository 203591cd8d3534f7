"""A hook that fails while the mail server is away: while a file ``mail_away`` is in Airflow's home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

HOME = "AIRFLOW_HOME"


def write(context: Any) -> None:
    """Note the run in the file ``mails``.

    :raises ConnectionError: the mail server is away.
    """
    home = Path(os.environ[HOME])
    outcome = context["dag_retry"]
    if (home / "mail_away").exists():
        raise ConnectionError("the mail server is away")
    with (home / "mails").open("a", encoding="utf-8") as mails:
        mails.write(f"{outcome.status.value} {outcome.run_id}\n")
