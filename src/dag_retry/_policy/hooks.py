"""The hooks: functions and notifiers that are told what became of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeAlias

from dag_retry._airflow import section
from dag_retry._errors import ConfigError

if TYPE_CHECKING:
    from dag_retry._types import Claim, RunRecord, Status

log = logging.getLogger(__name__)

# Airflow's own type, airflow.sdk.Context, is a TypedDict that takes no key of ours.
Context: TypeAlias = Any
Hook = Callable[[Any], Any]

_NAMES = {
    "retrying": "on_retry",
    "waiting": "on_retry",
    "exhausted": "on_exhausted",
    "blocked": "on_blocked",
    "skipped": "on_skipped",
    "succeeded": "on_succeeded",
}


class Hooks:
    """The hooks of a Dag. Those of the section ``[dag_retry]`` stand in where a Dag has none.

    :param given: hooks, one or a list, by the names of ``DagRetry``'s parameters; None for the section's.
    :raises ConfigError: a hook is not callable, or a name in the section is not ``module:function``.
    """

    def __init__(self, **given: Hook | Sequence[Hook] | None) -> None:
        self._hooks = {name: listed(name, given.get(name)) for name in set(_NAMES.values())}

    def tell(self, context: Context, status: Status, what: Claim | RunRecord, reason: str) -> None:
        """Call every hook of a status, also after one has failed.

        :param context: what the hooks are called with; the :class:`Outcome` is put into it as ``dag_retry``.
        :param status: where the run stands.
        :param what: the claim or the record.
        :param reason: why, as a code.
        :raises Exception: what the first failed hook raised.
        """
        from dag_retry._types import Outcome

        context["dag_retry"] = Outcome(
            status, reason, what.attempt, what.max_attempts, what.dag_id, what.run_id, what.failed_try, what.due_at
        )
        failed: Exception | None = None
        for hook in self._hooks[_NAMES[status.value]]:
            try:
                hook(context)
            except Exception as error:
                log.exception(
                    "Dag retry: run %r of Dag %r is %s, and a hook that was to tell it failed.",
                    what.run_id,
                    what.dag_id,
                    status.value,
                )
                failed = failed or error
        if failed:
            raise failed


def listed(name: str, given: Any) -> list[Hook]:
    """Return callbacks as a list.

    :param name: the argument that holds them.
    :param given: one callback, or a list; None for the section's.
    :raises ConfigError: one is not callable.
    """
    hooks = [_Named(name, each) if given is None else each for each in section.listed(name, given)]
    for hook in hooks:
        if not callable(hook):
            raise ConfigError(f"{name} is {hook!r}: use a function or notifier, or a list of them")
    return hooks


class _Named:
    """A hook of the section. It is imported when it is called, so that parsing a Dag file does not load it."""

    def __init__(self, name: str, path: str) -> None:
        if ":" not in path:
            raise ConfigError(f"{section.named(name)} is {path!r}: use module:function, e.g. our_alerts:page")
        self._path = path

    def __call__(self, context: Context) -> None:
        resolve_name(self._path)(context)
