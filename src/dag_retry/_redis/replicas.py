"""``wait_replicas``: replicas must have a claim before it is won."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dag_retry._errors import CounterError
from dag_retry._redis.errors import counter_errors

if TYPE_CHECKING:
    from dag_retry._redis.scripts import Verbs
    from dag_retry._types import Claim


def await_replicas(client: Any, verbs: Verbs, claim: Claim, lease: int, replicas: int) -> None:
    """Wait until enough replicas have a claim.

    ``WAIT`` counts only the writes of its own connection (redis.io/commands/wait). So a renewal goes before ``WAIT`` in
    one pipeline. The renewal also shows whether a failover has forgotten the claim.

    :param client: the client, not of a Cluster.
    :param verbs: sends the renewal.
    :param claim: the claim.
    :param lease: the lease of the renewed claim, in ms.
    :param replicas: how many replicas must have the claim.
    :raises CounterError: fewer have the claim within half of the client's ``socket_timeout``, or 1 s without one.
    """
    seconds = client.get_connection_kwargs().get("socket_timeout") or 2
    named = {"claim_id": claim.claim_id, "holder": claim.holder}
    script, call = verbs.call("renew", claim.dag_id, claim.run_id, lease=lease, **named)
    with counter_errors(client), client.pipeline(transaction=False) as pipeline:
        pipeline.eval(script.text, *call)
        pipeline.wait(replicas, int(seconds * 500))
        holds, acknowledged = pipeline.execute()
    if holds and acknowledged >= replicas:
        return
    why = f"only {acknowledged} of {replicas} replicas have it" if holds else "Redis forgot that since"
    raise CounterError(
        f"attempt {claim.attempt} is claimed, but {why}: nothing was cleared, and the claim stays due. "
        "See INFO replication on the primary, or lower wait_replicas"
    )
