"""The check of a Dag's callbacks: whether ours are attached, and who attached them."""

from __future__ import annotations

from typing import Any

from dag_retry._airflow import section
from dag_retry._errors import ConfigError
from dag_retry._policy.selection import selected_by
from dag_retry._retry import TAG, DagRetry
from dag_retry.cli.doctor.finding import Finding

_CHECK = "callbacks"


def examine(dag_id: str, details: dict[str, Any]) -> Finding:
    """Return who attached our callbacks to a Dag.

    Airflow shows whether ``default_args`` have a failure callback. ``dag_args`` puts one there, the section does not.
    Airflow does not show the callbacks of the Dag and of its tasks (3.3.2).

    :param dag_id: the Dag.
    :param details: what Airflow says of the Dag.
    """
    tags = {tag.get("name") for tag in details.get("tags") or []}
    in_defaults = bool((details.get("default_args") or {}).get("has_on_failure_callback"))
    defaults = f"default_args have {'an' if in_defaults else 'no'} on_failure_callback"
    try:
        selected = selected_by(tags, details.get("owners") or ())
        if selected:
            DagRetry()
    except ConfigError as error:
        return Finding(_CHECK, "fault", "the section [dag_retry] attaches none: a setting is wrong", str(error))
    option = section.named(selected) if selected else ""
    if TAG in tags:
        ways = [f"made with dag_args (tag {TAG})"] if in_defaults or not selected else []
        ways += [f"attached by the section: {option} selects {dag_id}"] if selected else []
        return Finding(_CHECK, "ok", f"{', or '.join(ways)}; {defaults}")
    if selected:
        found = f"{option} selects {dag_id} here, and the Dag has no tag {TAG}: the section attached none; {defaults}"
        remedy = (
            "set the option, and install airflow-dag-retry, wherever Dag files are parsed, and look for 'Dag retry' in "
            "the log of the dag processor; all is well if retry.on_failure is attached by hand"
        )
    else:
        found = f"not made with dag_args (tag {TAG}); {defaults}"
        remedy = (
            f"make {dag_id} with **retry.dag_args(…), or select it with {section.named('attach_to_tags')}, unless you "
            "attached retry.on_failure by hand"
        )
    return Finding(_CHECK, "unknown" if in_defaults else "warning", found, remedy)
