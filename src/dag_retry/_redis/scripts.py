"""The Lua scripts, and the calls that send them to Redis."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dag_retry._errors import ConfigError
from dag_retry._redis.errors import counter_errors

if TYPE_CHECKING:
    from dag_retry._redis.keys import Keys

# Airflow's own rule for a dag_id (airflow.sdk.definitions._internal.node.validate_key).
_DAG_ID = re.compile(r"[\w.-]+")


class Script(NamedTuple):
    """A script.

    :param text: the Lua code.
    :param sha: the name by which Redis knows the script, once Redis has had the text (redis.io/commands/evalsha).
    """

    text: str
    sha: str


@cache
def script(*names: str) -> Script:
    """Return the script that these Lua files make, one after the other."""
    text = "".join(map(text_of, names))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def run_script(client: Any, script: Script, *keys_and_arguments: Any) -> Any:
    """Run a script by its name, or by its text if Redis does not know the name yet.

    :param client: the client. Its errors are not caught.
    :param script: the script.
    :param keys_and_arguments: what EVAL takes after the text: the number of keys, the keys, the arguments.
    :return: what the script returns.
    """
    from redis.exceptions import NoScriptError

    try:
        return client.evalsha(script.sha, *keys_and_arguments)
    except NoScriptError:
        return client.eval(script.text, *keys_and_arguments)


class Verbs:
    """Sends verbs: the scripts that read and write the record of one run.

    :param client: a ``redis.Redis`` or ``redis.RedisCluster``.
    :param keys: the names of the keys.
    :ivar ttl: how long Redis keeps a record after its last change, in ms.
    """

    def __init__(self, client: Any, keys: Keys, ttl: int) -> None:
        self._client = client
        self._keys = keys
        self.ttl = ttl

    def run(self, verb: str, dag_id: str, run_id: str, **arguments: Any) -> Any:
        """Run a verb in one round trip.

        :param verb: the name of the Lua file.
        :param dag_id: the Dag.
        :param run_id: the Dag run.
        :param arguments: the other arguments of the verb, as its header names them; None stands for a default.
        :return: what the verb returns.
        :raises ConfigError: an id is wrong.
        :raises CounterError: Redis is unreachable or refuses.
        """
        script, call = self.call(verb, dag_id, run_id, **arguments)
        with counter_errors(self._client):
            return run_script(self._client, script, *call)

    def call(self, verb: str, dag_id: str, run_id: str, **arguments: Any) -> tuple[Script, list[Any]]:
        """Return a verb's script, and what EVAL takes after the text. The parameters are those of :meth:`run`.

        :raises ConfigError: an id is wrong.
        """
        check_ids(dag_id, run_id)
        keys = self._keys.of(dag_id, run_id)
        given = {"dag_id": dag_id, "run_id": run_id, "ttl": self.ttl, **arguments}
        texts = {name: _text(value) for name, value in given.items() if value is not None}
        return script("record", verb), [len(keys), *keys, json.dumps(texts)]


def new_claim_id() -> str:
    """Return an id that no other claim of the same run has: 64 random bits."""
    return secrets.token_hex(8)


def check_ids(dag_id: str, run_id: str) -> None:
    """Check that both ids can be Airflow's.

    :raises ConfigError: one of them can't.
    """
    if not isinstance(dag_id, str) or not _DAG_ID.fullmatch(dag_id):
        raise ConfigError(f"dag_id is {dag_id!r}: use letters, digits, '.', '_' and '-', e.g. 'daily_load'")
    if not isinstance(run_id, str) or not run_id:
        raise ConfigError(f"run_id is {run_id!r}: use the id of a Dag run, e.g. 'manual__2026-01-01T00:00:00+00:00'")


def check_count(name: str, value: int, least: int) -> None:
    """Check that a number is a whole one, and large enough.

    :raises ConfigError: the number is not.
    """
    # In Python True is an int, and as a number of attempts it is a mistake.
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}: use a whole number, {least} or more")


def _text(value: Any) -> Any:
    return [str(each) for each in value] if isinstance(value, list) else str(value)


@cache
def text_of(name: str) -> str:
    """Return the text of a Lua file. In a wheel the folder ``lua`` is in the package, in a checkout beside ``src``."""
    folder = resources.files("dag_retry") / "lua"
    if not folder.is_dir():
        folder = Path(__file__).parents[3] / "lua"
    return (folder / f"{name}.lua").read_text(encoding="utf-8")
