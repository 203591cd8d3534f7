"""What sweepers say of themselves: when one last looked at what is due, and whether it reaches Airflow's API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from dag_retry._redis.views import number


class Heartbeat(NamedTuple):
    """What the sweeper said that looked last. Times are ms since the epoch, by Redis's clock.

    :param at: when a sweeper last looked at what is due.
    :param holder: host and process of that sweeper.
    :param api: the address of Airflow's API that this sweeper uses; empty without credentials.
    :param looked_until: up to when failed runs were searched.
    :param fault: why the way to Airflow is broken, as a code; empty if the way is not broken.
    :param fault_text: the message of the error that says so.
    :param fault_at: since when the way is broken; 0 if the way is not broken.
    :param queued: the runs that are retrying, and that Airflow has kept ``queued`` for 5 minutes, each with its Dag.
    """

    at: int
    holder: str = ""
    api: str = ""
    looked_until: int = 0
    fault: str = ""
    fault_text: str = ""
    fault_at: int = 0
    queued: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Heartbeat | None:
        """Read the HASH ``{<ns>}:v1:sweeper``. Any field may be missing, since somebody else may have written the HASH.

        :param fields: the fields of the HASH.
        :return: the heartbeat; None if no sweeper has ever looked.
        """
        if not number(fields.get("at")):
            return None
        return cls(
            at=number(fields["at"]),
            holder=fields.get("holder", ""),
            api=fields.get("api", ""),
            looked_until=number(fields.get("looked_until")),
            fault=fields.get("fault", ""),
            fault_text=fields.get("fault_text", ""),
            fault_at=number(fields.get("fault_at")),
            queued=_runs(fields.get("queued", "")),
        )


def _runs(text: str) -> frozenset[tuple[str, str]]:
    try:
        return frozenset((str(dag_id), str(run_id)) for dag_id, run_id in json.loads(text))
    except (ValueError, TypeError):
        return frozenset()
