"""A hook of the section ``[dag_retry]``: it writes to a pager, which is away for a while."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FOLDER = "SOAK_FOLDER"
PAGES = "pages"
AWAY = "pager_away"


class PagerAwayError(Exception):
    """The pager is away."""


def page(context: Any) -> None:
    """Write a line for each telling, also for one that fails.

    :raises PagerAwayError: a file says so.
    """
    folder = Path(os.environ[FOLDER])
    away = (folder / AWAY).exists()
    # In a file, so that it is known although the process is killed a moment later.
    with os.fdopen(os.open(folder / PAGES, os.O_APPEND | os.O_CREAT | os.O_WRONLY), "w") as pages:
        pages.write(f"{'failed' if away else 'told'} {context['dag_retry'].run_id}\n")
    if away:
        raise PagerAwayError
