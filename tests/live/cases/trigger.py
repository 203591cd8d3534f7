"""A trigger that ends its task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskFailedEvent


class FailsTheTask(BaseTrigger):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "tests.live.cases.trigger.FailsTheTask", {}

    async def run(self) -> AsyncIterator[TaskFailedEvent]:
        yield TaskFailedEvent()
