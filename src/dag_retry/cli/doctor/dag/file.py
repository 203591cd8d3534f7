"""The file of a Dag, parsed here: the file alone tells which callbacks and operators the Dag has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from dag_retry.cli.doctor.finding import Finding

_REMEDY = "run doctor where the dag processor runs, with its settings; till then what only the file tells is unchecked"


def parse(dag_id: str, details: dict[str, Any]) -> Any:
    """Return the Dag as its file makes it, or a finding that says why the file can't be parsed here.

    The file is looked for in the Dag bundle of that name in the configuration that holds here. Airflow parses the
    file, as for its own commands. What is printed or logged meanwhile goes to stderr.

    :param dag_id: the Dag.
    :param details: what Airflow's API tells of the Dag.
    """
    try:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import BundleDagBag
    except ImportError:
        return _unparsed("Airflow itself is not installed here")
    manager: Any = DagBundlesManager
    name = details.get("bundle_name") or ""
    with _silent_stdout():
        try:
            folder = manager().get_bundle(name).path.resolve()
        except ValueError as error:
            return _unparsed(str(error))
        file = (folder / (details.get("relative_fileloc") or "")).resolve()
        if not file.is_file() or not file.is_relative_to(folder):
            return _unparsed(f"{file} is not here")
        bag = BundleDagBag(dag_folder=str(file), bundle_path=folder, bundle_name=name)
    if dag := bag.dags.get(dag_id):
        return dag
    errors = [error.strip().splitlines()[-1] for error in bag.import_errors.values()]
    return _unparsed(f"{file} can't be parsed here: {errors[0]}" if errors else f"{file} holds no {dag_id} here")


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Send to stderr what is written to stdout. Airflow's loggers keep the stdout that they first saw."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _unparsed(why: str) -> Finding:
    return Finding("Dag file", "unknown", why, _REMEDY)
