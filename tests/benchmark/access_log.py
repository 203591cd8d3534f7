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
    each request. A connection for nothing but a login is thus the recipe's.

    :param log: the API server's log.
    :param run_id: the run; no other run's id may hold it.
    """
    text = log.read_text("utf-8", errors="replace")
    requests = [(client, path, run_id in path + query) for client, path, query in _REQUEST.findall(text)]
    clients = {client for client, _, names_run in requests if names_run}
    paths = [path for client, path, names in requests if names or (client in clients and path.startswith(_BESIDE))]
    execution = sum(path.startswith("/execution/") for path in paths)
    about = [number for number, (_, _, names_run) in enumerate(requests) if names_run]
    # The runs come one after the other, and what the recipe does ends with a clear.
    meanwhile = requests[about[0] : about[-1]] if about else []
    used = {client for client, path, _ in requests if path != _LOGIN}
    logins = [client for client, path, _ in requests if path == _LOGIN and client in clients]
    logins += [client for client, path, _ in meanwhile if path == _LOGIN and client not in used]
    return Requests(len(paths) - execution, len(logins), execution)
