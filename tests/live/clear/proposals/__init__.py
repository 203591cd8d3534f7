"""What we propose to Airflow. All code in these documents is run: the reproductions, and the changes to its source."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

DOCUMENTS = sorted(Path(__file__).parent.glob("*.md"))


def blocks(document: str, language: str) -> list[str]:
    """Return the blocks of code of a document, by its name without suffix."""
    text = (Path(__file__).parent / f"{document}.md").read_text(encoding="utf-8")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def changed_airflow(folder: Path) -> Path:
    """Make a copy of the installed Airflow with the changes of all documents. It is for the start of ``PYTHONPATH``.

    Files that no document changes are links.
    """
    spec = find_spec("airflow")
    assert spec
    assert spec.submodule_search_locations
    shutil.copytree(spec.submodule_search_locations[0], folder / "airflow", copy_function=os.symlink)
    for document in DOCUMENTS:
        for change in blocks(document.stem, "diff"):
            for name in re.findall(r"(?m)^\+\+\+ b/(\S+)", change):
                file = folder / name
                source = file.resolve()
                file.unlink()
                shutil.copyfile(source, file)
            subprocess.run(["git", "apply", "-"], input=change, text=True, check=True, cwd=folder)
    return folder
