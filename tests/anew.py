"""Importing a part of the package anew, as a process does that starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


@contextmanager
def imported_anew(package: str, module: str) -> Iterator[ModuleType]:
    """Import a module of a package, with all modules of the package that it needs. Afterwards all is as before.

    A package holds its modules as attributes too. Who patches a module by its name finds it there.

    :param package: the name of the package, which holds no other package.
    :param module: the name of the module in the package.
    """
    parent = import_module(package)

    def take_out() -> dict[str, ModuleType]:
        loaded = {name: sys.modules[name] for name in list(sys.modules) if name.startswith(f"{package}.")}
        for name in loaded:
            del sys.modules[name]
            delattr(parent, name.rpartition(".")[2])
        return loaded

    before = take_out()
    try:
        yield import_module(f"{package}.{module}")
    finally:
        take_out()
        for name, each in before.items():
            sys.modules[name] = each
            setattr(parent, name.rpartition(".")[2], each)
