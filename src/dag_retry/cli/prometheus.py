"""The metrics for Prometheus, read from Redis."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as BaseCollector

from dag_retry._errors import CounterError
from dag_retry._redis.health import Health
from dag_retry._redis.overview import Overview
from dag_retry._redis.views import Sizes
from dag_retry._types import RunRecord, Status

EVENTS = (
    "won",
    "lost",
    "taken_over",
    "cleared",
    "exhausted",
    "blocked",
    "skipped",
    "unclaimed",
    "succeeded",
    "postponed",
    "gone",
    "withdrawn",
    "hastened",
    "retried",
    "reset",
)
"""Each of these has a sample from the beginning, with 0. Prometheus sees no increase in a sample that begins with 1."""

_SIZES = {
    "active": "Runs that wait for their retry, are about to be cleared, or are on their next attempt.",
    "attention": "Runs that need a human: exhausted, blocked, skipped or unclaimed.",
    "overdue": "Runs that are due, and that nobody has taken yet.",
}


_HEALTH = {
    "waiting": "Runs that wait for a sweeper: until a delay is over, or in place of a holder that is dead.",
    "queued": "Retried runs that Airflow has kept queued for 5 minutes.",
    "untold": "Endings that no hook was told of.",
}


class Collector(BaseCollector):
    """Reads the metrics from Redis whenever Prometheus asks.

    :param overview: reads Redis.
    """

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. If Redis does not answer, yield ``dag_retry_up`` alone."""
        try:
            metrics = [*self._collect()]
        except CounterError as error:
            print(f"dag-retry: {error}")
            metrics = []
        yield GaugeMetricFamily("dag_retry_up", "Whether Redis answered.", value=bool(metrics))
        yield from metrics

    def _collect(self) -> Iterator[Metric]:
        overview = self._overview
        sizes = overview.sizes()
        for name, what in _SIZES.items():
            yield GaugeMetricFamily(f"dag_retry_{name}_runs", what, value=getattr(sizes, name))
        yield GaugeMetricFamily(
            "dag_retry_overdue_seconds",
            "Seconds since the run that is overdue longest was due.",
            value=self._overdue(sizes),
        )
        yield from self._of_sweepers(overview.health())
        runs = GaugeMetricFamily("dag_retry_dag_runs", "Recent runs of a Dag, by status.", labels=["dag_id", "status"])
        outcomes = overview.outcomes(since=0)
        for dag_id, statuses in outcomes.items():
            for status in Status:
                runs.add_metric([dag_id, status.value], statuses[status.value])
        yield runs
        everything, *of_dags = overview.stats_of([None, *outcomes])
        events = CounterMetricFamily("dag_retry_events", "Events, of all Dags.", labels=["event"])
        for event in sorted({*EVENTS, *everything}):
            events.add_metric([event], everything.get(event, 0))
        yield events
        per_dag = CounterMetricFamily("dag_retry_dag_events", "Events, per Dag.", labels=["dag_id", "event"])
        for dag_id, stats in zip(outcomes, of_dags, strict=True):
            for event in sorted({*EVENTS, *stats}):
                per_dag.add_metric([dag_id, event], stats.get(event, 0))
        yield per_dag

    def _of_sweepers(self, health: Health) -> Iterator[Metric]:
        counts = {"waiting": health.waiting, "queued": len(health.queued), "untold": health.untold}
        for name, what in _HEALTH.items():
            yield GaugeMetricFamily(f"dag_retry_{name}_runs", what, value=counts[name])
        # Where no sweeper has ever run, infinity exceeds every limit of an alert. Without a sample the alert would be
        # silent, and absent() would fire too when Prometheus does not reach these metrics.
        age = (health.now - health.heartbeat.at) / 1000 if health.heartbeat else math.inf
        yield GaugeMetricFamily(
            "dag_retry_sweeper_age_seconds", "Seconds since a sweeper looked; +Inf if none has ever.", value=age
        )
        broken = health.broken
        fault = GaugeMetricFamily(
            "dag_retry_api_fault", "1 while the way to Airflow's API is broken, with the reason.", labels=["reason"]
        )
        fault.add_metric([broken.fault if broken else ""], bool(broken))
        yield fault
        yield GaugeMetricFamily(
            "dag_retry_api_fault_seconds",
            "Seconds since the way to Airflow's API is broken; 0 if the way is not broken.",
            value=(health.now - broken.fault_at) / 1000 if broken else 0,
        )

    def _overdue(self, sizes: Sizes) -> float:
        longest = self._overview.runs("overdue", limit=1).runs
        return (sizes.now - longest[0].due_at) / 1000 if longest and isinstance(longest[0], RunRecord) else 0
