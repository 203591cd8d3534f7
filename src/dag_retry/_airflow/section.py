"""Reads the section ``[dag_retry]``: an argument of ``DagRetry`` wins, then the option, then its default.

Airflow's own ``conf`` looks each option up (environment, ``airflow.cfg``, ``_CMD``, ``_SECRET``) and parses it.
"""

from __future__ import annotations

from typing import Any

from dag_retry._airflow.options import OPTIONS
from dag_retry._errors import ConfigError

SECTION = "dag_retry"


def named(name: str, argument: object = None) -> str:
    """Return the name of a setting, as a user must type it.

    :param name: the name of the option.
    :param argument: the argument of ``DagRetry``; None if the setting is an option.
    """
    if argument is not None:
        return name
    return f"[{SECTION}] {name} ({variable(name)})"


def variable(name: str) -> str:
    """Return the environment variable of an option.

    :param name: the name of the option.
    """
    return f"AIRFLOW__{SECTION.upper()}__{name.upper()}"


def get(name: str, argument: Any = None) -> Any:
    """Return an argument of ``DagRetry``, else the option of that name, else its default.

    :param name: the name of the option.
    :param argument: the argument; None if not given.
    :raises ConfigError: the value is wrong, or Airflow can't read the option.
    """
    option = OPTIONS[name]
    if argument is None:
        value = configured(name)
        return option.parser.convert(option.default) if value is None and option.default is not None else value
    if not option.parser.fits(argument):
        raise _wrong(name, argument, option.parser.right_argument or option.parser.right, argument)
    return argument


def configured(name: str) -> Any:
    """Return the value of an option that is set; None if its default holds.

    :param name: the name of the option.
    :raises ConfigError: the value is wrong, or Airflow can't read the option.
    """
    from airflow.sdk.configuration import conf

    option = OPTIONS[name]
    try:
        text = conf.get(SECTION, name, fallback=None)
    except Exception as error:  # noqa: BLE001 - AirflowConfigException, or an error of configparser
        # The error's text may quote a secret, or what a command printed.
        raise ConfigError(
            f"{named(name)} can't be read ({type(error).__name__}): in airflow.cfg write %% for %, and where a command "
            "(_CMD) or a secrets backend (_SECRET) gives the value, see that this works"
        ) from None
    # If the option is not set, Airflow answers with the default of the provider's info.
    if not text or (option.default is not None and text == str(option.default)):
        return None
    parser = option.parser
    try:
        value = parser.convert(text if parser.getter == "get" else getattr(conf, parser.getter)(SECTION, name))
    except Exception:  # noqa: BLE001 - AirflowConfigException
        raise _wrong(name, text, parser.right) from None
    if not parser.fits(value):
        raise _wrong(name, text, parser.right)
    return value


def listed(name: str, argument: Any = None) -> list[Any]:
    """Return a setting that is a list. An argument may be a single element.

    :param name: the name of the option.
    :param argument: the argument; None if not given.
    """
    if argument is None:
        return get(name) or []
    return list(argument) if isinstance(argument, (list, tuple, set, frozenset)) else [argument]


def _wrong(name: str, value: object, right: str, argument: object = None) -> ConfigError:
    option = OPTIONS[name]
    example = option.default or option.example
    return ConfigError(f"{named(name, argument)} is {value!r}: use {right.format(example=example)}")
