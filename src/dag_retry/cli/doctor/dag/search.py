"""The search for a Dag's file, where no API tells which file that is."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dag_retry.cli.doctor.dag.file import bag_of, broken, last_line, quietly
from dag_retry.cli.doctor.finding import LOGIN, Finding

_REMEDY = f"run doctor where the dag processor runs, with its settings; or {LOGIN}"


def search(dag_id: str) -> Any:
    """Return a Dag as its file makes it, or a finding that says why no file here does.

    The configuration that holds here names the Dag bundles. Files that mention the Dag come first. The others are
    parsed too, since a file may put the id together. Airflow's metadata database is not needed.

    :param dag_id: the Dag.
    """
    with quietly():
        try:
            bags = [bag_of(name) for name in _bundles()]
        except ImportError:
            return _unchecked(dag_id, "Airflow itself is not installed here")
        except Exception as error:  # noqa: BLE001 - a setting of Airflow is wrong, or the bundle is somebody else's code
            return _unchecked(dag_id, f"its file can't be looked for, since a Dag bundle can't be had here: {error}")
        wrong: dict[Path, str] = {}
        for bag, file in sorted(_files(bags), key=lambda each: not _mentions(each[1], dag_id)):
            errors = len(bag.import_errors)
            bag.process_file(str(file), safe_mode=False)
            if dag := bag.dags.get(dag_id):
                return dag
            if len(bag.import_errors) > errors:
                wrong[file] = last_line(list(bag.import_errors.values())[-1])
    return _not_found(dag_id, bags, wrong)


def _bundles() -> list[str]:
    """Return the names of the Dag bundles that the user configured: Airflow's example Dags are in others."""
    from airflow.configuration import conf

    configured: Any = conf.getjson("dag_processor", "dag_bundle_config_list")
    return [bundle["name"] for bundle in configured or ()]


def _files(bags: list[Any]) -> list[tuple[Any, Path]]:
    from airflow.utils.file import list_py_file_paths

    return [(bag, Path(file)) for bag in bags for file in list_py_file_paths(bag.bundle_path)]


def _mentions(file: Path, dag_id: str) -> bool:
    return dag_id.encode() in file.read_bytes()


def _not_found(dag_id: str, bags: list[Any], wrong: dict[Path, str]) -> Finding:
    """Return the finding for a Dag that no file here makes.

    :param dag_id: the Dag.
    :param bags: the bags, which hold all Dags that are here.
    :param wrong: the files that can't be imported, each with the last line of the error.
    """
    for file, why in wrong.items():
        if _mentions(file, dag_id):
            return broken(file, why)
    folders = ", ".join(str(bag.bundle_path) for bag in bags) or "no Dag bundle"
    found = f"no Dag file here holds {dag_id} ({folders})"
    if wrong:
        file, why = next(iter(wrong.items()))
        found += f"; {len(wrong)} can't be imported, first {file}: {why}"
    known = [each for bag in bags for each in bag.dags]
    similar = get_close_matches(dag_id, known, n=1)
    # A bundle that is not here, or a file that can't be imported, may hold the Dag.
    if not known or not all(bag.bundle_path.is_dir() for bag in bags) or (wrong and not similar):
        return _unchecked(dag_id, found)
    remedy = f"did you mean {similar[0]}?" if similar else f"correct the id; or {_REMEDY}"
    return Finding(f"Dag {dag_id}", "fault", found, remedy)


def _unchecked(dag_id: str, why: str) -> Finding:
    return Finding(f"Dag {dag_id}", "unknown", f"not checked: {why}", _REMEDY)
