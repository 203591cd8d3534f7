"""Take the screenshots of page and command line: ``python -m tests.live.page.shoot``. The runs are real."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

from tests.airflow_server import USERNAME, LiveAirflow
from tests.demo import DAGS as DEMO
from tests.live.page.conftest import DAGS, FLAGS
from tests.servers import RedisServer, until

FOLDER = Path(__file__).parent / "screenshots"
ENDED = ("succeeded", "exhausted", "waiting")


def main() -> int:
    """Run the Dags, and look at the page while one of them is still retrying."""
    with tempfile.TemporaryDirectory(prefix="dag-retry-shoot-") as name:
        home = Path(name)
        dags = home / "dags"
        shutil.copytree(DEMO, dags)
        shutil.copy(DAGS / "page_waits.py", dags)
        with (
            RedisServer(home / "redis") as server,
            server.client() as client,
            LiveAirflow(home / "airflow", dags, env={"AIRFLOW__DAG_RETRY__REDIS_URL": server.url}) as airflow,
        ):

            def status(dag_id: str, run_id: str) -> str:
                return str(client.hget(f"{{dag-retry}}:v1:run:{dag_id}:{run_id}", "status"))

            first = ("branches_recover", "branches_exhaust", "task_killed", "page_waits")
            runs = [(dag_id, airflow.trigger(dag_id)) for dag_id in first]
            until(lambda: all(status(*run) in ENDED for run in runs), seconds=480)
            last = ("branches_recover", airflow.trigger("branches_recover"))
            until(lambda: status(*last) == "retrying", seconds=120)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                for scheme in ("light", "dark"):
                    shoot(browser, airflow, scheme, *runs[1])
            shoot_command_line(server.url, ["list"], ["show", *runs[1]])
    return 0


def shoot_command_line(redis_url: str, *commands: list[str]) -> None:
    """Take what commands print, in their colours."""
    environment = os.environ | {"AIRFLOW__DAG_RETRY__REDIS_URL": redis_url, "TERM": "xterm-256color"}
    # In the name of no real machine, and as wide.
    host = socket.gethostname()
    worker = "worker"[: len(host)].ljust(len(host), "-")
    console = Console(record=True, width=130, file=io.StringIO())
    for command in commands:
        line = f"stty cols 130; {shlex.join([sys.executable, '-m', 'dag_retry.cli', *command])}"
        program = ["script", "--quiet", "--return", "--command", line, "/dev/null"]
        printed = subprocess.run(program, env=environment, check=True, capture_output=True, text=True).stdout
        printed = printed.replace(f"{host}:", f"{worker}:")
        console.print(Text.from_ansi(f"$ dag-retry {shlex.join(command)}\n{printed}"))
    console.save_svg(str(FOLDER / "command-line.svg"), title="dag-retry", font_aspect_ratio=0.61)


def shoot(browser: Browser, airflow: LiveAirflow, scheme: str, dag_id: str, run_id: str) -> None:
    """Take the page in Airflow's UI, and the tab of a run."""
    page = browser.new_page(viewport={"width": 1360, "height": 760}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{airflow.url}/dag-retry/")
    page.get_by_label("Username").fill(USERNAME)
    page.get_by_label("Password").fill(airflow.password)
    page.keyboard.press("Enter")
    page.locator(".row").first.wait_for()
    page.goto(f"{airflow.url}/plugin/dag-retries")
    page.frame_locator("iframe").locator(".bars li").first.wait_for()
    page.screenshot(path=FOLDER / f"page-{scheme}.png")
    page.goto(f"{airflow.url}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}/plugin/dag-retries-run")
    timeline = page.frame_locator("iframe").locator("#timeline")
    timeline.locator("summary").first.click()
    page.screenshot(path=FOLDER / f"run-{scheme}.png")


if __name__ == "__main__":
    sys.exit(main())
