"""The access log of Airflow's API server: what was requested about a run (``HttpAccessLogMiddleware``, 3.3.2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_REQUEST = re.compile(r"request finished .*\bclient_addr=(\S+) .*\bpath=(\S+) query=(\S*)")
_LOGIN = "/auth/token"
# Of the Dag: whether it is paused.
_BESIDE = ("/api/", "/execution/dags/")


class Requests(NamedTuple):
    """The requests about a run.

    :param rest: to the REST API, and to our route.
    :param logins: for these.
    :param execution: to the API of tasks, by supervisors. None of them is one that a task without callbacks sends.
    """

    rest: int
    logins: int
    execution: int


def requests_about(log: Path, run_id: str) -> Requests:
    """Count the requests about a run.

    All that we ask in one callback goes over one connection, and a supervisor keeps its connection too. So a login, and
    a look at the Dag, belong to the run that the connection's other requests name. The recipe opens a connection for
    each request: its login is one after which its connection sends nothing more.

    :param log: the API server's log.
    :param run_id: the run; no other run's id may hold it.
    """
    about: list[str] = []
    logins = 0
    # Connections by the client's address. Another connection may have the same address later.
    logged_in: list[str] = []
    known: set[str] = set()
    for client, path, query in _REQUEST.findall(log.read_text("utf-8", errors="replace")):
        if path == _LOGIN:
            logged_in.append(client)
            known.discard(client)
        elif run_id in path + query or (client in known and path.startswith(_BESIDE)):
            about.append(path)
            if client not in known and logged_in and not path.startswith("/execution/"):
                logged_in.remove(client if client in logged_in else logged_in[-1])
                logins += 1
            known.add(client)
        elif client in logged_in:
            logged_in.remove(client)
    execution = sum(path.startswith("/execution/") for path in about)
    return Requests(len(about) - execution, logins, execution)
