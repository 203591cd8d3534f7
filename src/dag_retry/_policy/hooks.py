"""The hooks: what is called when a run is retried, and when its budget ends."""

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

# airflow.sdk.Context is a TypedDict, and takes no key of ours. So ours is Any, and our callbacks fit Airflow's types.
Context: TypeAlias = Any
Hook = Callable[[Any], Any]

_HOOKS = {
    "retrying": "on_retry",
    "waiting": "on_retry",
    "exhausted": "on_exhausted",
    "blocked": "on_blocked",
    "skipped": "on_skipped",
    "succeeded": "on_succeeded",
}


class Hooks:
    """The hooks of a Dag. A hook that is not given comes from the section ``[dag_retry]``.

    :param given: a hook or a list of hooks for each parameter ``on_…`` of ``DagRetry``; None for the section's.
    :raises ConfigError: a hook is not callable, or a name in the section is not ``module:function``.
    """

    def __init__(self, **given: Hook | Sequence[Hook] | None) -> None:
        self._hooks = {name: listed(name, given.get(name)) for name in set(_HOOKS.values())}
        self.own = any(given.get(_HOOKS[ending]) is not None for ending in ("exhausted", "blocked", "skipped"))
        """Whether a hook for endings was given, and so is not the section's. A sweeper does not have it."""

    def tell(self, context: Context, status: Status, what: Claim | RunRecord, reason: str) -> None:
        """Call every hook of a status, even if another hook fails.

        :param context: what the hooks are called with. This adds the :class:`Outcome` as ``dag_retry``.
        :param status: how the run stands.
        :param what: the claim, or the record.
        :param reason: why, as a code.
        :raises Exception: what the first hook that failed raised.
        """
        put_outcome(context, status, what, reason)
        failed: Exception | None = None
        for hook in self._hooks[_HOOKS[status.value]]:
            try:
                hook(context)
            except Exception as error:
                log.exception(
                    "Dag retry: run %r of Dag %r is %s, and a hook for this failed.",
                    what.run_id,
                    what.dag_id,
                    status.value,
                )
                failed = failed or error
        if failed:
            raise failed


def put_outcome(context: Context, status: Status, what: Claim | RunRecord, reason: str) -> None:
    """Put the :class:`Outcome` into a context as ``dag_retry``, for hooks and for the callbacks after this one.

    :param context: what Airflow gave to the callback.
    :param status: how the run stands.
    :param what: the claim, or the record.
    :param reason: why, as a code.
    """
    from dag_retry._types import Outcome

    context["dag_retry"] = Outcome(
        status, reason, what.attempt, what.max_attempts, what.dag_id, what.run_id, what.failed_try, what.due_at
    )


def listed(name: str, given: Any) -> list[Hook]:
    """Return callbacks as a list.

    :param name: the parameter that holds them.
    :param given: one callback, a list of them, or None for the hooks of the section.
    :raises ConfigError: one of them is not callable.
    """
    hooks = [_HookByName(name, each) if given is None else each for each in section.listed(name, given)]
    for hook in hooks:
        if not callable(hook):
            raise ConfigError(f"{name} is {hook!r}: use a function or notifier, or a list of them")
    return hooks


class _HookByName:
    """A hook of the section. It is imported when it is called, so a Dag file does not load it."""

    def __init__(self, name: str, path: str) -> None:
        if ":" not in path:
            raise ConfigError(f"{section.named(name)} is {path!r}: use module:function, e.g. our_alerts:page")
        self._path = path

    def __call__(self, context: Context) -> None:
        resolve_name(self._path)(context)
