"""Processes that have Airflow loaded, as a worker forks them: what an import takes there, and a whole callback.

A program: it is given a URL and how often, and prints JSON. Nothing of ours is loaded before it says so.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import airflow.sdk


def forked(action: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Run an action in a fork of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump(action(), pipe)
            pipe.flush()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer: dict[str, float] = json.loads(pipe.read())
    os.waitpid(child, 0)
    return answer


def seconds(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def import_ours() -> dict[str, float]:
    known = set(sys.modules)

    def load() -> None:
        from dag_retry import DagRetry  # noqa: F401

    took = seconds(load)
    new = {name.partition(".")[0] for name in set(sys.modules) - known}
    return {"ours": took, "heavy": float(len(new & {"redis", "requests"}))}


def import_redis() -> dict[str, float]:
    def load() -> None:
        import redis  # noqa: F401

    return {"redis": seconds(load)}


def main(url: str, forks: int) -> None:
    assert airflow.sdk
    kinds: list[Callable[[], dict[str, float]]] = [import_ours, import_redis] * forks
    random.shuffle(kinds)
    taken: dict[str, list[float]] = {}

    def measure() -> None:
        for kind in kinds:
            for name, figure in forked(kind).items():
                taken.setdefault(name, []).append(figure)

    measure()

    # From here on it is a task's process, whose Dag file has been parsed.
    logging.getLogger("dag_retry").setLevel(logging.INFO)
    logging.getLogger("dag_retry").addHandler(logging.FileHandler(os.devnull))
    from dag_retry import DagRetry
    from tests.contexts import task_failed

    os.environ["AIRFLOW__DAG_RETRY__REDIS_URL"] = url
    os.environ["AIRFLOW__DAG_RETRY__API_URL"] = "http://retry:secret@127.0.0.1:1"
    retry = DagRetry()
    context = task_failed()

    def lose() -> dict[str, float]:
        return {"callback": seconds(lambda: retry.on_failure(context))}

    def lose_in_parts() -> dict[str, float]:
        def load_redis() -> None:
            import redis  # noqa: F401

        def load_ours() -> None:
            from dag_retry._redis.connection import connect  # noqa: F401

        return {
            "part_redis": seconds(load_redis),
            "part_connection": seconds(load_ours),
            "part_first": seconds(lambda: retry.on_failure(context)),
            "part_again": seconds(lambda: retry.on_failure(context)),
        }

    kinds = [lose, lose_in_parts] * forks
    random.shuffle(kinds)
    measure()
    print(json.dumps({name: median(figures) for name, figures in taken.items()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
