// Requests to the server, repeated every few seconds while the page is visible.

import { showAlarms } from "./alarms.js";
import { el } from "./dom.js";
import { setNow } from "./time.js";

const EVERY = 5000;

export async function ask(path, query = {}, options = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(said(body) ?? answer.statusText), { status: answer.status });
  return body;
}

function said(body) {
  return typeof body.detail === "string" ? body.detail : body.detail && JSON.stringify(body.detail);
}

// Shows an error above the page, or hides the last one. The old content stays below, dimmed.
function show(error) {
  const banner = document.getElementById("banner");
  banner.hidden = error === null;
  document.body.classList.toggle("stale", error !== null);
  if (error === null) return;
  const why = {
    401: "Your session is over: reload the page to log in again.",
    403: "You may not see this: ask for the right to read Dag runs.",
  };
  const title = error.status === 503 ? "Redis does not answer" : error.status ? "Not shown" : "Airflow does not answer";
  banner.replaceChildren(el("strong", {}, title), el("p", {}, why[error.status] ?? error.message));
}

// Calls `load` now and every few seconds. Returns a function that calls `load` at once.
export function poll(load) {
  const live = document.getElementById("live");
  let timer, asked = 0;
  async function again() {
    clearTimeout(timer);
    const mine = ++asked;
    try {
      const found = await load(() => mine === asked);
      if (mine !== asked) return;
      setNow(found.now);
      showAlarms(found.alarms);
      show(null);
      live.textContent = "live";
    } catch (error) {
      if (mine !== asked) return;
      show(error);
      live.textContent = "not up to date";
    }
    live.classList.toggle("off", live.textContent !== "live");
    if (!document.hidden) timer = setTimeout(again, EVERY);
  }
  document.addEventListener("visibilitychange", () => document.hidden || again());
  again();
  return again;
}

// A link to Airflow's UI. If the page is in Airflow's frame, the link opens outside it: the sandbox forbids all else.
export function airflowLink(path, text) {
  const href = new URL(`../${path}`, location.href).href;
  const link = el("a", { href, className: "airflow" }, text);
  link.addEventListener("click", (event) => {
    if (parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const outer = parent.document.createElement("a");
    outer.href = href;
    outer.click();
  });
  return link;
}
