"""The decorator of the public classes."""

from __future__ import annotations

from typing import TypeVar

Exported = TypeVar("Exported", bound=type)


def exported(cls: Exported) -> Exported:
    """Give a class its public name, as in ``dag_retry.Claim``. Messages, pickles and documentation show that name.

    :param cls: a class in ``dag_retry.__all__``.
    """
    cls.__module__ = "dag_retry"
    return cls
