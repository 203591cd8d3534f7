"""Which Dags the section ``[dag_retry]`` selects. They get our callbacks, and their files need not change."""

from __future__ import annotations

from collections.abc import Iterable

from dag_retry._airflow import section


def selected_by(tags: Iterable[str], owners: Iterable[str]) -> str | None:
    """Return the name of the option that selects a Dag; None if none does.

    :param tags: the tags of the Dag.
    :param owners: the owners of its tasks.
    :raises ConfigError: Airflow can't read an option.
    """
    for name, held in (("attach_to_tags", tags), ("attach_to_owners", owners)):
        wanted = section.get(name)
        if wanted and ("*" in wanted or not set(wanted).isdisjoint(held)):
            return name
    return None
