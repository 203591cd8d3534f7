"""What sweepers say of themselves: when one last looked at what is due, and whether it reaches Airflow's API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from dag_retry._defaults import NAMESPACE, TTL
from dag_retry._errors import ConfigError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.keys import Keys
from dag_retry._redis.lifetimes import Lifetimes
from dag_retry._redis.reads import RunId
from dag_retry._redis.record import text
from dag_retry._redis.scripts import run_script, script
from dag_retry._redis.views import number

if TYPE_CHECKING:
    from redis import Redis, RedisCluster


class Heartbeat(NamedTuple):
    """What the sweeper said that looked last. Times are ms since the epoch, by Redis's clock.

    :param at: when a sweeper last said something. Each says so every few seconds, also while the way is broken.
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
        :return: the heartbeat; None if no sweeper has ever said something.
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


def _runs(said: str) -> frozenset[tuple[str, str]]:
    try:
        return frozenset((str(dag_id), str(run_id)) for dag_id, run_id in json.loads(said))
    except (ValueError, TypeError):
        return frozenset()


class Heartbeats:
    """Writes the heartbeat, for a sweeper. :meth:`Overview.heartbeat` reads it.

    :param redis_client: a ``redis.Redis`` or ``redis.RedisCluster``.
    :param namespace: the namespace of the counter.
    :param ttl: the TTL of the counter.
    """

    def __init__(self, redis_client: Redis | RedisCluster, *, namespace: str = NAMESPACE, ttl: timedelta = TTL) -> None:
        self._redis: Any = redis_client
        self._key = Keys(namespace).sweeper()
        self._ttl = Lifetimes(ttl).shared_ttl

    def beat(
        self,
        holder: str,
        api: str,
        *,
        fault: str = "",
        fault_text: str = "",
        looked: tuple[int, int] | None = None,
        look_from: int | None = None,
        queued: Sequence[RunId] | None = None,
    ) -> None:
        """Say that a sweeper lives, and how it fares. Parameters are as in :class:`Heartbeat`.

        :param looked: where a look began (0: the first one), and how far it came. This does not count if another look
            has come further, or if a ``look_from`` came meanwhile.
        :param look_from: the next look begins there, or earlier.
        :param queued: None if the sweeper has not looked since.
        :raises ConfigError: another sweeper lives, and uses another Airflow.
        :raises CounterError: Redis is unreachable or refuses.
        """
        said = {"holder": holder, "api": api, "fault": fault, "fault_text": fault_text}
        if looked is not None:
            said["looked_since"], said["looked_until"] = map(str, looked)
        if look_from is not None:
            said["look_from"] = str(look_from)
        if queued is not None:
            said["queued"] = json.dumps(queued)
        with counter_errors(self._redis):
            other = run_script(self._redis, script("heartbeat"), 1, self._key, json.dumps(said), self._ttl)
        if other:
            its_api, its_holder = map(text, other)
            raise ConfigError(
                f"this sweeper clears runs of the Airflow at {api}, and the sweeper {its_holder}, in the same Redis "
                f"and namespace, clears those of {its_api}: they would take each other's runs. Give each Airflow a "
                "namespace of its own. If both are one Airflow, use one address: this sweeper may begin five minutes "
                "after the other has stopped"
            )
