"""The page in a real Chromium: log in, see the run, act, see the change."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Browser, ConsoleMessage, FrameLocator, Locator, Page, expect
from sqlalchemy import create_engine, text

from dag_retry import AttemptCounter
from tests.airflow_server import USERNAME
from tests.live.page.conftest import ODD, Site

pytestmark = pytest.mark.live

Window = Callable[..., Page]
EVIL = "<img src=x onerror=document.title='evil'>"
PATIENCE = 90_000

expect.set_options(timeout=60_000)


def row(page: Page | FrameLocator, section: str, dag_id: str, run_id: str) -> Locator:
    ids = page.locator(".ids", has=page.get_by_text(run_id, exact=True))
    return page.locator(f"#{section} .row[data-dag-id='{dag_id}']").filter(has=ids)


def faults(page: Page) -> list[str]:
    """Collect what the page complains of: a breach of its own policy would be here."""
    found: list[str] = []

    def told(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.append(message.text)

    page.on("console", told)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_who_sees_no_run_sees_what_happens(log_in: Window) -> None:
    """The guest may read no Dag. The picture has the page's theme, whatever the policy of scripts and styles."""
    pictures = set()
    for scheme in ("light", "dark"):
        page = log_in("guest", color_scheme=scheme)
        wrong = faults(page)
        picture = page.locator("#race img")
        expect(picture).to_be_visible()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
        pictures.add(picture.screenshot())
        page.get_by_label("Filter by Dag").fill("another")
        expect(picture).to_be_hidden()
        assert wrong == []
    assert len(pictures) == 2


def test_log_in_see_the_run_act_see_the_change(site: Site, log_in: Window) -> None:
    site.exhausted("page_public", "acted")
    page = log_in("editor")
    wrong = faults(page)
    gave_up = row(page, "attention", "page_public", "acted")
    expect(gave_up).to_contain_text("gave up")
    expect(gave_up).to_contain_text("1 of 1")

    gave_up.get_by_role("button", name="Retry").click()
    expect(page.locator("dialog")).to_contain_text("in your name")
    page.locator("dialog").get_by_role("button", name="Leave it").click()
    assert site.live.airflow.dag_run("page_public", "acted").clear_number == 1
    gave_up.get_by_role("button", name="Retry").click()
    page.locator("dialog").get_by_role("button", name="Retry").click()

    expect(page.locator(".toast")).to_contain_text("it starts again")
    expect(gave_up).to_contain_text("cleared by hand")
    expect(row(page, "recent", "page_public", "acted")).to_contain_text("recovered", timeout=PATIENCE)
    expect(gave_up).to_have_count(0)
    assert site.live.airflow.dag_run("page_public", "acted").clear_number == 2
    [cleared] = site.live.airflow.query(
        "SELECT owner FROM log WHERE run_id = 'acted' AND event = 'clear_dag_run' AND owner = 'editor'"
    )
    assert cleared == {"owner": "editor"}
    assert wrong == []

    row(page, "recent", "page_public", "acted").locator("a.ids").click()
    expect(page.locator("#timeline > li[data-kind='by-hand']")).to_contain_text("Cleared by hand")
    assert page.locator("#timeline > li").evaluate_all("lines => lines.map((line) => line.dataset.kind)") == [
        "won", "cleared", "failed", "by-hand", "succeeded",
    ]  # fmt: skip
    expect(page.locator("#timeline")).to_contain_text("HTTP 200")
    expect(page.locator("#timeline details").first).to_contain_text("suppressed")

    # Who it was stands in the audit log, which FAB's role User may not read.
    page = log_in(USERNAME, page.url.removeprefix(site.url))
    expect(page.locator("#timeline > li[data-kind='by-hand']")).to_contain_text("Cleared by editor")


def test_only_a_failed_run_is_cleared(site: Site, log_in: Window) -> None:
    """Somebody marks the run success while another person is asked whether to retry the run."""
    site.exhausted("page_public", "marked")
    page = log_in("editor")
    gave_up = row(page, "attention", "page_public", "marked")
    gave_up.get_by_role("button", name="Retry").click()
    site.live.airflow.call("PATCH", "/dags/page_public/dagRuns/marked", {"state": "success"})
    page.locator("dialog").get_by_role("button", name="Retry").click()

    expect(page.locator(".toast")).to_contain_text("Nothing was cleared: Airflow has the run as success")
    expect(gave_up).to_contain_text("succeeded since")
    expect(gave_up.get_by_role("button", name="Reset")).to_be_visible()
    expect(gave_up.get_by_role("button", name="Retry")).to_have_count(0)
    assert site.live.airflow.dag_run("page_public", "marked").clear_number == 1


def test_a_cleared_run_that_stays_queued(site: Site, log_in: Window) -> None:
    """Somebody has paused its Dag, minutes ago."""
    dag_id, run_id = "page_many_0", "held"
    site.live.airflow.pause(dag_id)
    site.live.airflow.trigger(dag_id, run_id)
    counter = AttemptCounter(site.live.client)
    counter.confirm(counter.claim(dag_id, run_id, generation=0, max_attempts=2))
    page = log_in("editor")
    held = row(page, "active", dag_id, run_id)
    expect(held).to_contain_text("retrying")
    expect(held).not_to_contain_text("Airflow has not started it")

    engine = create_engine(site.live.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.begin() as database:
        back = "UPDATE dag_run SET queued_at = queued_at - INTERVAL '6 minutes' WHERE run_id = :run_id"
        database.execute(text(back), {"run_id": run_id})
    engine.dispose()
    expect(held).to_contain_text("Airflow has not started it: is the Dag paused")
    expect(held).to_contain_text("queued 6 min ago")
    counter.succeed(dag_id, run_id)


def test_html_is_text(site: Site, log_in: Window) -> None:
    """A run id and an exception's name full of HTML; all that Airflow takes in an id.

    (Its own UI shows nothing of a Dag that has a run with a ``?`` in its id: React Router refuses the link, 3.3.2.)
    """
    site.exhausted("page_odd", ODD)
    page = log_in("editor", "/dag-retry/", viewport={"width": 1280, "height": 2000})
    wrong = faults(page)
    found = row(page, "attention", "page_odd", ODD)

    expect(found.locator(".run")).to_have_text(ODD, use_inner_text=False)
    expect(found.locator("code.error")).to_have_text(EVIL)
    assert found.locator("b, img").count() == 0
    found.locator("a.ids").click()
    expect(page.locator("#which .run")).to_have_text(ODD)
    expect(page.locator("#timeline code.error").first).to_have_text(EVIL)
    assert page.locator("img").count() == 0

    page.get_by_role("button", name="Retry").click()
    page.locator("dialog").get_by_role("button", name="Retry").click()
    expect(page.locator("#summary")).to_contain_text("cleared by hand")
    assert site.live.airflow.dag_run("page_odd", ODD).clear_number == 2
    assert page.title() == "Retries of a Dag run"
    assert wrong == []


def test_who_may_not(site: Site, log_in: Window, chromium: Browser) -> None:
    for dag_id in ("page_public", "page_secret"):
        site.exhausted(dag_id, "refused")
    nobody = chromium.new_page()
    nobody.goto(f"{site.url}/dag-retry/run?dag_id=page_public&run_id=refused")
    assert "/auth/login" in nobody.url
    nobody.close()

    viewer = log_in("viewer")
    expect(row(viewer, "attention", "page_secret", "refused")).to_be_visible()
    assert viewer.locator(".actions button").count() == 0
    refused = viewer.evaluate(
        """async () => (await fetch("api/reset?dag_id=page_public&run_id=refused",
           { method: "POST", headers: { "X-Dag-Retry": "page" } })).status"""
    )
    assert refused == 403

    reader = log_in("reader")
    expect(row(reader, "attention", "page_public", "refused")).to_be_visible()
    expect(reader.locator("#recovery")).to_contain_text("page_public")
    assert "page_secret" not in reader.content()
    reader.goto(f"{site.url}/dag-retry/run?dag_id=page_secret&run_id=refused")
    expect(reader.locator("#banner")).to_contain_text("You may not see this")


def test_in_airflows_own_ui(site: Site, log_in: Window) -> None:
    """In the frame that Airflow puts it in, which lets it neither leave nor open another window."""
    site.exhausted("page_public", "framed")
    page = log_in(USERNAME, color_scheme="dark")
    page.goto(site.url)
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Dag retries").click()
    frame = page.frame_locator("iframe[title='Dag retries']")
    assert "allow-top-navigation" not in (page.locator("iframe").get_attribute("sandbox") or "")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    page.evaluate("document.documentElement.classList.replace('dark', 'light')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")

    row(frame, "attention", "page_public", "framed").locator("a.ids").click()
    expect(frame.locator("#timeline")).to_contain_text("gave up")
    frame.get_by_role("link", name="Open in Airflow").click()
    page.wait_for_url(re.compile("/dags/page_public/runs/framed"))
    page.get_by_role("link", name="Retries").click()
    tab = page.frame_locator("iframe[title='Retries']")
    expect(tab.locator("#timeline > li")).to_have_count(3)
    expect(tab.locator("#which")).to_be_empty()
    tab.get_by_role("button", name="Reset").click()
    tab.locator("dialog").get_by_role("button", name="Reset").click()
    expect(tab.locator("#timeline")).to_contain_text(f"Attempts counted anew, by {USERNAME}")


def test_filters(site: Site, log_in: Window) -> None:
    for dag_id in ("page_public", "page_secret"):
        site.exhausted(dag_id, "filtered")
    page = log_in("editor")
    public, secret = (row(page, "attention", dag_id, "filtered") for dag_id in ("page_public", "page_secret"))
    expect(public).to_be_visible()

    page.get_by_label("Filter by Dag").fill("SECRET")
    expect(public).to_have_count(0)
    expect(secret).to_be_visible()
    page.get_by_label("Filter by Dag").fill("")
    page.get_by_label("Filter by status").select_option("blocked")
    expect(secret).to_have_count(0)
    expect(page.locator("#attention")).to_contain_text("Nothing needs you")


def test_another_site(site: Site, log_in: Window) -> None:
    """A page of another site, open in the same browser, can neither act nor read nor frame ours."""
    site.exhausted("page_public", "attacked")
    page = log_in("editor")
    before = site.record("page_public", "attacked")
    target = f"{site.url}/dag-retry/api/reset?{urlencode({'dag_id': 'page_public', 'run_id': 'attacked'})}"
    page.route("http://evil.test/**", lambda route: route.fulfill(body="<h1>evil</h1>", content_type="text/html"))
    page.goto("http://evil.test/")

    outcome = page.evaluate(
        """async ([target, page]) => {
            const out = [];
            for (const options of [{}, { mode: "no-cors" }, { headers: { "X-Dag-Retry": "page" } }]) {
                out.push(await fetch(target, { method: "POST", credentials: "include", ...options })
                    .then((answer) => answer.status, () => "refused"));
            }
            const frame = document.createElement("iframe");
            frame.src = page;
            document.body.append(frame);
            await new Promise((loaded) => frame.addEventListener("load", loaded));
            return out;
        }""",
        [target, f"{site.url}/dag-retry/"],
    )

    assert [status for status in outcome if status == 200] == []
    [framed] = page.frames[1:]
    assert "dag-retry" not in framed.url
    assert site.record("page_public", "attacked") == before


def test_redis_away(site: Site, log_in: Window) -> None:
    site.exhausted("page_public", "kept")
    page = log_in("editor")
    kept = row(page, "attention", "page_public", "kept")
    expect(kept).to_be_visible()

    site.live.redis.kill()
    try:
        expect(page.locator("#banner")).to_contain_text("Redis does not answer")
        # Only who may see Airflow's configuration sees addresses.
        expect(page.locator("#banner")).to_contain_text("The log of the API server says more")
        shown = site.http("GET", "/dag-retry/api/runs", USERNAME)
        assert (shown.status_code, "see that it runs" in shown.text) == (503, True)
        expect(kept).to_be_visible()
    finally:
        site.live.redis.start().ready()
    expect(page.locator("#banner")).to_be_hidden()


def test_airflow_quotes_the_ids_of_the_tab(site: Site, log_in: Window) -> None:
    """Its UI puts them into the address; a run id with a slash never gets so far.

    It shows plugins to those alone who may list them (``AccessView.PLUGINS``): of FAB's roles Op and Admin.
    """
    run_id = "manual__2026-01-01T00:00:00+00:00 'a'&b=$&"
    site.exhausted("page_public", run_id)
    page = log_in(USERNAME)
    page.goto(f"{site.url}/dags/page_public/runs/{quote(run_id, safe='')}/plugin/dag-retries-run")

    tab = page.frame_locator("iframe[title='Retries']")
    expect(tab.locator("#timeline > li")).to_have_count(3)
