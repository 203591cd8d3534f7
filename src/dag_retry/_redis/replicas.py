"""``wait_replicas``: replicas must have a claim before its holder clears the run."""

from __future__ import annotations

from typing import Any

from dag_retry._errors import ConfigError, CounterError
from dag_retry._redis.errors import counter_errors
from dag_retry._redis.scripts import Verbs, check_count
from dag_retry._types import Claim, Verdict


class Replicas:
    """Runs verbs that claim runs, and waits until enough replicas have what these wrote.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``.
    :param verbs: sends the verbs.
    :param least: how many replicas must have a claim. Not for a Cluster.
    :raises ConfigError: the number is wrong, or the client is a Cluster's.
    """

    def __init__(self, client: Any, verbs: Verbs, least: int) -> None:
        check_count("wait_replicas", least, 0)
        if least and hasattr(client, "get_primaries"):
            raise ConfigError(f"wait_replicas is {least}, and redis_url is a Cluster's: set it to 0 there")
        self._client = client
        self._verbs = verbs
        self._least = least

    def run(self, verb: str, dag_id: str, run_id: str, **arguments: Any) -> tuple[Any, int]:
        """Run a verb in one round trip. The parameters are those of :meth:`Verbs.run`.

        ``WAIT`` counts only the writes of its own connection (redis.io/commands/wait). So one pipeline holds both. If
        the claim is a repeat, its script writes nothing. So a write of our own goes before ``WAIT``.

        :return: what the verb returns, and how many replicas have what it wrote.
        :raises CounterError: Redis is unreachable or refuses.
        """
        if not self._least:
            return self._verbs.run(verb, dag_id, run_id, **arguments), 0
        script, call = self._verbs.call(verb, dag_id, run_id, **arguments)
        run_key, seconds = call[1], self._client.get_connection_kwargs().get("socket_timeout") or 2
        with counter_errors(self._client):
            with self._client.pipeline(transaction=False) as pipeline:
                pipeline.eval(script.text, *call)
                pipeline.pexpire(run_key, self._verbs.ttl)
                pipeline.wait(self._least, int(seconds * 500))
                answers = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers[0], answers[2]

    def check(self, claim: Claim, acknowledged: int) -> None:
        """Check that a claim which was won may go on.

        :param claim: the claim.
        :param acknowledged: how many replicas have it.
        :raises CounterError: too few have the claim, within half of the client's ``socket_timeout`` (1 s without one).
        """
        if claim.verdict is Verdict.WON and acknowledged < self._least:
            raise CounterError(
                f"attempt {claim.attempt} is claimed, but only {acknowledged} of {self._least} replicas have it: "
                "nothing was cleared, and the claim stays due. See INFO replication on the primary, or lower "
                "wait_replicas"
            )
