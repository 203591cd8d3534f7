"""Who sees what, and who may do what: asked of the server, without a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from tests.airflow_server import USERNAME
from tests.live.page.conftest import ODD, Site

pytestmark = pytest.mark.live

RUN = "access"
WHO = (None, "guest", "reader", "viewer", "editor", USERNAME)

# Who asks for what is answered with which status. The run is one of page_public; the reader may read no other Dag. An
# action that is allowed is answered 409 where the run is in no state for it. Who is nobody yet is sent to log in (303).
TABLE = """
                     nobody  guest  reader  viewer  editor  admin
page                    303    200     200     200     200    200
rows                    401    200     200     200     200    200
run                     401    403     200     200     200    200
run of page_secret      401    403     403     200     200    200
hasten                  401    403     403     403     409    409
cancel                  401    403     403     403     409    409
reset                   401    403     403     403     200    200
reset of page_secret    401    403     403     403     200    200
retry                   401    403     403     403     200    200
"""


@pytest.fixture(scope="module", autouse=True)
def runs(site: Site) -> None:
    for dag_id in ("page_public", "page_secret"):
        site.exhausted(dag_id, RUN)


def run_of(site: Site, dag_id: str, user: str | None) -> requests.Response:
    return site.http("GET", "/dag-retry/api/run", user, params={"dag_id": dag_id, "run_id": RUN})


ASKED: dict[str, Callable[[Site, str | None], requests.Response]] = {
    "page": lambda site, user: site.http("GET", "/dag-retry/", user, headers={"Accept": "text/html"}),
    "rows": lambda site, user: site.http("GET", "/dag-retry/api/runs", user),
    "run": lambda site, user: run_of(site, "page_public", user),
    "run of page_secret": lambda site, user: run_of(site, "page_secret", user),
    "hasten": lambda site, user: site.act("hasten", "page_public", RUN, user),
    "cancel": lambda site, user: site.act("cancel", "page_public", RUN, user),
    "reset": lambda site, user: site.act("reset", "page_public", RUN, user),
    "reset of page_secret": lambda site, user: site.act("reset", "page_secret", RUN, user),
    "retry": lambda site, user: site.clear("page_public", RUN, user),
}


def test_who_may_do_what(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    head, *expected = TABLE.strip("\n").splitlines()
    answers = {name: [ask(site, user).status_code for user in WHO] for name, ask in ASKED.items()}
    ends = [head.index(who) + len(who) for who in head.split()]
    lines = []
    for name, statuses in answers.items():
        line = name
        for status, end in zip(statuses, ends, strict=True):
            line = f"{line:{end - 3}}{status}"
        lines.append(line)
    with capsys.disabled():
        print(f"\n{head}", *lines, sep="\n")

    assert lines == expected


@pytest.mark.parametrize(
    ("user", "seen"),
    [
        ("guest", set()),
        ("reader", {("page_public", False)}),
        ("viewer", {("page_public", False), ("page_secret", False)}),
        ("editor", {("page_public", True), ("page_secret", True)}),
    ],
)
def test_rows_are_those_the_user_may_read(site: Site, user: str, seen: set[tuple[str, bool]]) -> None:
    answer = site.http("GET", "/dag-retry/api/runs", user)
    recovery = site.http("GET", "/dag-retry/api/recovery", user)

    rows = [row for rows in answer.json()["sections"].values() for row in rows if row["run_id"] == RUN]
    assert {(row["dag_id"], row["may_edit"]) for row in rows} == seen
    assert {dag["dag_id"] for dag in recovery.json()} >= {dag_id for dag_id, _ in seen}
    if user in ("guest", "reader"):
        assert "page_secret" not in answer.text + recovery.text


def test_dag_ids_that_name_two_or_all(site: Site) -> None:
    """What is asked for is what is allowed: of two ids both take the last, and one that stands for all is none."""
    two = [("dag_id", "page_secret"), ("dag_id", "page_public"), ("run_id", RUN)]
    assert site.http("GET", "/dag-retry/api/run", "reader", params=two).json()["row"]["dag_id"] == "page_public"
    assert site.http("GET", "/dag-retry/api/run", "reader", params=[two[1], two[0], two[2]]).status_code == 403
    for dag_id in ("~", "", "a:b", "page_secret\n", "z" * 251):
        assert site.act("reset", dag_id, RUN, "editor").status_code == 422


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({"X-Dag-Retry": None}, {}),
        ({"Origin": "https://evil.example.com"}, {}),
        ({"Origin": "null"}, {}),
        ({"Sec-Fetch-Site": "cross-site"}, {}),
        ({"Sec-Fetch-Site": "same-site"}, {}),
        ({"Sec-Fetch-Site": "none"}, {}),
        ({}, {"json": {"dag_id": "page_secret"}}),
        ({}, {"data": {"dag_id": "page_secret"}}),
    ],
)
def test_what_another_site_could_make_a_browser_send(
    site: Site, headers: dict[str, str], options: dict[str, object]
) -> None:
    cookie = {"_token": site.token("editor")}
    before = site.record("page_secret", RUN)

    answer = site.act("reset", "page_secret", RUN, None, headers=headers, cookies=cookie, **options)

    assert answer.status_code in (400, 403)
    assert site.record("page_secret", RUN) == before


def test_our_own_page_may(site: Site) -> None:
    cookie = {"_token": site.token("editor")}
    own = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}

    assert site.act("reset", "page_secret", RUN, None, headers=own, cookies=cookie).status_code == 200


def test_who_acted_is_logged(site: Site) -> None:
    site.exhausted("page_secret", "logged")
    site.act("reset", "page_secret", "logged", "editor").raise_for_status()

    logged = site.live.airflow.query(
        "SELECT event, owner FROM log WHERE dag_id = :dag_id AND run_id = :run_id AND event LIKE 'dag_retry.%'",
        dag_id="page_secret",
        run_id="logged",
    )
    [told] = [
        entry for entry in site.live.entries("page_secret") if entry["event"] == "reset" and entry["run_id"] == "logged"
    ]
    assert logged == [{"event": "dag_retry.reset", "owner": "editor"}]
    assert told["holder"] == "editor"


def test_a_run_that_waits(site: Site) -> None:
    run_id = ODD
    site.live.airflow.trigger("page_waits", run_id)
    site.live.airflow.wait(
        "page_waits",
        run_id,
        until=lambda run: run.state == "failed" and site.live.record("page_waits", run_id).get("status") == "waiting",
        steady=0,
    )
    [row] = site.http("GET", "/dag-retry/api/runs", "editor", params={"dag": "WAITS"}).json()["sections"]["active"]
    assert (row["run_id"], row["overdue"], row["airflow"]["state"]) == (run_id, False, "failed")

    assert site.act("hasten", "page_waits", run_id, "editor").status_code == 200
    found = site.http("GET", "/dag-retry/api/run", "editor", params={"dag_id": "page_waits", "run_id": run_id}).json()
    assert found["row"]["due_at"] <= found["now"]
    assert site.act("cancel", "page_waits", run_id, "editor").status_code == 200
    assert site.live.record("page_waits", run_id)["reason"] == "cancelled"
    assert site.act("hasten", "page_waits", run_id, "editor").status_code == 409


def test_every_answer_has_the_headers(site: Site) -> None:
    for path in ("/dag-retry/", "/dag-retry/run", "/dag-retry/page.css", "/dag-retry/api/runs", "/dag-retry/none"):
        for user in (None, "viewer"):
            headers = site.http("GET", path, user).headers
            assert "script-src 'self'" in headers["Content-Security-Policy"], path
            assert "frame-ancestors 'self'" in headers["Content-Security-Policy"], path
            assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store"), path


def test_airflow_shows_what_the_provider_says(site: Site) -> None:
    airflow = site.live.airflow
    assert "airflow-dag-retry" in airflow.command("providers", "list")
    config = airflow.command("config", "list", "--section", "dag_retry", "--include-descriptions")
    assert "max_attempts_limit" in config
    assert "How often a failed Dag run is cleared" in config
    forms = {form["connection_type"]: form for form in site.http("GET", "/ui/connections/hook_meta", USERNAME).json()}
    assert forms["dag_retry_redis"]["standard_fields"]["host"]["placeholder"] == "redis.example.com"
    assert forms["dag_retry_redis"]["extra_fields"]["ssl_ca_certs"]["schema"]["title"] == "CA file"
    assert forms["dag_retry_api"]["extra_fields"]["client_secret"]["schema"]["format"] == "password"
    assert forms["dag_retry_api"]["standard_fields"]["password"]["title"] == "Password, or a token without a user"
    assert "airflow dag-retry [-h] VERB" in airflow.command("dag-retry", "--help")
