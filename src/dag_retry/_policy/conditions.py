"""The conditions that a failure must meet to be retried."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dag_retry._airflow import section
from dag_retry._airflow.options import REASONS
from dag_retry._errors import ConfigError

if TYPE_CHECKING:
    from dag_retry._callback.failure import Failure

Kind: TypeAlias = type[BaseException] | str


class Conditions(NamedTuple):
    """The conditions of a Dag. The parameters are those of ``DagRetry``.

    A Dag-level callback does not know the exception. It relies on what a task-level callback has recorded.
    """

    retry_on: Sequence[Kind]
    give_up_on: Sequence[Kind]
    task_ids: Collection[str]
    retry_if: Callable[[Any], object] | None
    reasons: Collection[str]

    @classmethod
    def of(
        cls,
        retry_on: Kind | Sequence[Kind] | None,
        give_up_on: Kind | Sequence[Kind] | None,
        task_ids: str | Sequence[str] | None,
        retry_if: Callable[[Any], object] | None,
        reasons: str | Sequence[str] | None,
    ) -> Conditions:
        """Return the conditions that ``DagRetry``'s arguments give, or else the options of the section.

        :raises ConfigError: an argument or an option is wrong.
        """
        if retry_if is not None and not callable(retry_if):
            raise ConfigError(f"retry_if is {retry_if!r}: use a function of the context")
        for task_id in (listed := section.listed("task_ids", task_ids)):
            if not isinstance(task_id, str) or not task_id:
                raise ConfigError(f"task_ids has {task_id!r}: use the ids of tasks, e.g. ['validate']")
        chosen = section.listed("reasons", reasons) or list(REASONS)
        for reason in chosen:
            if reason not in REASONS:
                raise ConfigError(f"{section.named('reasons', reasons)} has {reason!r}: use {', '.join(REASONS)}")
        return cls(
            _kinds("retry_on", retry_on),
            _kinds("give_up_on", give_up_on),
            listed,
            retry_if,
            chosen,
        )

    def skip(self, failure: Failure, context: Mapping[str, Any]) -> str:
        """Return why a failure is not retried, as a code; empty if it is retried.

        :param failure: the failure.
        :param context: what Airflow gave to the callback.
        :raises ConfigError: a name in ``retry_on`` or ``give_up_on`` is no exception, or ``retry_if`` failed.
        """
        reason = context.get("reason")
        if reason is not None and reason not in self.reasons:
            return "reason_not_retryable"
        # After a time-out or a deadlock the context names a task that has not failed.
        if self.task_ids and reason in (None, "task_failure") and failure.failed_try.task_id not in self.task_ids:
            return "task_not_retryable"
        exception = context.get("exception")
        if isinstance(exception, BaseException) and not self._retryable(exception):
            return "exception_not_retryable"
        if self.retry_if and not self._asked(context):
            return "retry_if"
        return ""

    def unusable_names(self) -> Iterator[str]:
        """Yield what is wrong with each name that is no exception here. This imports the modules of the names."""
        for kind in (*self.retry_on, *self.give_up_on):
            try:
                _resolved(kind)
            except ConfigError as error:
                yield str(error)

    def _retryable(self, exception: BaseException) -> bool:
        from airflow.sdk.exceptions import AirflowFailException

        if isinstance(exception, (AirflowFailException, *map(_resolved, self.give_up_on))):
            return False
        return not self.retry_on or isinstance(exception, tuple(map(_resolved, self.retry_on)))

    def _asked(self, context: Mapping[str, Any]) -> bool:
        assert self.retry_if  # noqa: S101
        try:
            return bool(self.retry_if(context))
        except Exception as error:
            raise ConfigError(f"retry_if raised {error!r}: correct the function") from error


def _kinds(key: str, argument: Kind | Sequence[Kind] | None) -> list[Kind]:
    kinds = section.listed(key, argument)
    for kind in kinds:
        if isinstance(kind, str) and _may_exist(kind):
            continue
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigError(
                f"{section.named(key, argument)} has {kind!r}, which is no exception: use a class or its name, e.g. "
                "'requests.exceptions.ConnectionError'"
            )
    return kinds


def _may_exist(name: str) -> bool:
    """Return whether an exception of this name may exist. This imports no module, so a Dag file loads nothing new."""
    module, _, _ = name.rpartition(".")
    if not module or module in sys.modules:
        try:
            _resolved(name)
        except ConfigError:
            return False
        return True
    return all(part.isidentifier() for part in name.split(".")) and find_spec(name.partition(".")[0]) is not None


def _resolved(kind: Kind) -> type[BaseException]:
    if isinstance(kind, type):
        return kind
    try:
        found = resolve_name(kind) if "." in kind else getattr(builtins, kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{kind!r} can't be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ConfigError(f"{kind!r} is no exception")
    return found
