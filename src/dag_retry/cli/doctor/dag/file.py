"""The file of a Dag, parsed here: the file alone tells which callbacks and operators the Dag has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from dag_retry.cli.doctor.finding import Finding

_HERE = "run doctor where the dag processor runs, with its settings"
_REMEDY = f"{_HERE}; till then what only the file tells is unchecked"


def parse(dag_id: str, details: dict[str, Any]) -> Any:
    """Return the Dag as its file makes it, or a finding that says why the file can't be parsed here.

    The file is looked for in the Dag bundle of that name in the configuration that holds here.

    :param dag_id: the Dag.
    :param details: what Airflow's API tells of the Dag.
    """
    name = details.get("bundle_name") or ""
    with quietly():
        try:
            bag = bag_of(name)
        except ImportError:
            return _unparsed("Airflow itself is not installed here")
        except Exception as error:  # noqa: BLE001 - a setting of Airflow is wrong, or the bundle is somebody else's code
            return _unparsed(f"the Dag bundle {name!r} can't be had here: {error}")
        file = (bag.bundle_path / (details.get("relative_fileloc") or "")).resolve()
        if not file.is_file() or not file.is_relative_to(bag.bundle_path):
            return _unparsed(f"{file} is not here")
        bag.process_file(str(file), safe_mode=False)
    if dag := bag.dags.get(dag_id):
        return dag
    if bag.import_errors:
        return broken(file, last_line(next(iter(bag.import_errors.values()))))
    return _unparsed(f"{file} holds no {dag_id} here")


def bag_of(name: str) -> Any:
    """Return an empty bag for the files of a Dag bundle. Airflow's own commands parse files by such a bag.

    :param name: the name of the Dag bundle.
    :raises ImportError: Airflow itself is not installed here.
    :raises Exception: the bundle can't be had.
    """
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag

    manager: Any = DagBundlesManager
    folder = manager().get_bundle(name).path.resolve()
    return BundleDagBag(dag_folder=str(folder), bundle_path=folder, bundle_name=name, collect_dags=False)


@contextmanager
def quietly() -> Iterator[None]:
    """Drop what is printed or logged. Airflow's loggers keep the stdout or stderr that they first saw.

    Airflow logs the traceback of each file that it can't import, twice. The finding holds the last line.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    before = {there: os.dup(there) for there in (1, 2)}
    with Path(os.devnull).open("w") as nowhere:
        for there in before:
            os.dup2(nowhere.fileno(), there)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        finally:
            for there, copy in before.items():
                os.dup2(copy, there)
                os.close(copy)


def last_line(error: str) -> str:
    """Return what an error says, without its traceback.

    :param error: an import error, as Airflow keeps it.
    """
    return error.strip().splitlines()[-1] if error.strip() else "Airflow does not say why"


def broken(file: Path, why: str) -> Finding:
    """Return the finding for a file that can't be imported here. If an error of ours says so, a setting is wrong.

    :param file: the file.
    :param why: the last line of the import error.
    """
    if why.startswith("dag_retry."):
        remedy = "correct what the message names; if other settings hold where the dag processor runs, run doctor there"
        return Finding("Dag file", "fault", f"{file} can't be parsed here: {why}", remedy)
    remedy = f"{_HERE}; python {file} shows the whole error"
    return Finding("Dag file", "unknown", f"{file} can't be parsed here: {why}", remedy)


def _unparsed(why: str) -> Finding:
    return Finding("Dag file", "unknown", why, _REMEDY)
