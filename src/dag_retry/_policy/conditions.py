"""The conditions that a failure must meet to be retried."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

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
        for key, kinds in (("retry_on", self.retry_on), ("give_up_on", self.give_up_on)):
            for kind in kinds:
                try:
                    _types(key, [kind])
                except ConfigError as error:
                    yield str(error)

    def _retryable(self, exception: BaseException) -> bool:
        from airflow.sdk.exceptions import AirflowFailException

        # All names are looked up, also where one decides alone: a wrong name is found at the first failure.
        give_up_on, retry_on = _types("give_up_on", self.give_up_on), _types("retry_on", self.retry_on)
        if isinstance(exception, (AirflowFailException, *give_up_on)):
            return False
        return not retry_on or isinstance(exception, retry_on)

    def _asked(self, context: Mapping[str, Any]) -> bool:
        assert self.retry_if  # noqa: S101
        try:
            return bool(self.retry_if(context))
        except Exception as error:
            raise ConfigError(f"retry_if raised {error!r}: correct the function") from error


def _kinds(key: str, argument: Kind | Sequence[Kind] | None) -> list[Kind]:
    kinds = section.listed(key, argument)
    for kind in kinds:
        if not (_may_exist(kind) if isinstance(kind, str) else _is_exception(kind)):
            raise ConfigError(
                f"{section.named(key, argument)} has {kind!r}, which is no exception: use a class or its name, e.g. "
                "'requests.exceptions.ConnectionError'"
            )
    return kinds


def _may_exist(name: str) -> bool:
    """Return whether an exception of this name may exist. This imports no module, so a Dag file loads nothing new.

    No module is looked into, even if the process has imported that module. Else one process would refuse a Dag file
    that another takes. The failure of a task looks the name up.
    """
    if "." not in name:
        return _is_exception(getattr(builtins, name, None))
    try:
        return all(map(str.isidentifier, name.split("."))) and find_spec(name.partition(".")[0]) is not None
    except ValueError:  # A module that is imported has no spec, such as __main__.
        return True


def _is_exception(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, BaseException)


def _types(key: str, kinds: Sequence[Kind]) -> tuple[type[BaseException], ...]:
    """Return the exceptions that a condition names.

    :param key: the parameter that names them.
    :param kinds: types or names.
    :raises ConfigError: there is no exception of such a name.
    """
    return tuple(kind if isinstance(kind, type) else _resolved(key, kind) for kind in kinds)


def _resolved(key: str, name: str) -> type[BaseException]:
    try:
        found = resolve_name(name) if "." in name else getattr(builtins, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key} has {name!r}, and there is no such exception ({error}): correct the name") from error
    if not _is_exception(found):
        raise ConfigError(f"{key} has {name!r}, which is no exception: correct the name")
    return cast(type[BaseException], found)
