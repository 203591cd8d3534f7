"""Dag files in versions, as a bundle of Airflow's: a folder for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle


class Versions(BaseDagBundle):
    """The folders ``1``, ``2``, … of a folder.

    :param root: that folder.
    """

    supports_versioning = True

    def __init__(self, *, root: str, **bundle: Any) -> None:
        super().__init__(**bundle)
        self._root = Path(root)

    @property
    def path(self) -> Path:
        return self._root / (self.version or self.get_current_version())

    def get_current_version(self) -> str:
        return str(max(int(folder.name) for folder in self._root.iterdir() if folder.name.isdecimal()))

    def refresh(self) -> None: ...
