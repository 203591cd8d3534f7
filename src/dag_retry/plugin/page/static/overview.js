// The page under Browse. The runs that need a human come first.

import "./theme.js";
import { actions } from "./actions.js";
import { el, keyed } from "./dom.js";
import { ask, poll } from "./live.js";
import { attempts, pill, runLink } from "./parts.js";
import { time } from "./time.js";
import { LATE, STATUSES, STILL_QUEUED, UNTOLD, task } from "./words.js";

const EMPTY = { attention: "Nothing needs you.", active: "Nothing is retrying.", recent: "No run has failed yet." };
const byId = (id) => document.getElementById(id);

let limit = 25;

function filters() {
  return Object.fromEntries([["dag", byId("dag").value.trim()], ["status", byId("status").value]].filter(([, value]) => value));
}

function why(row) {
  const failed = row.task_id && el("span", {}, el("code", {}, task(row)), row.error && " ", row.error && el("code", { className: "error" }, row.error));
  return el("div", { className: "why" }, row.handled && el("b", {}, row.handled), row.overdue && el("b", {}, LATE[row.status]), row.still_queued && el("b", {}, STILL_QUEUED), row.untold && el("b", {}, UNTOLD), row.why && el("span", {}, row.why), failed);
}

function when(row) {
  if (row.overdue) return el("span", { className: "late" }, time(row.due_at, "late"));
  if (row.still_queued) return el("span", { className: "late" }, "queued ", time(row.airflow.queued_at, "ago"));
  if (row.status === "waiting") return el("span", { className: "next" }, "in ", time(row.due_at, "countdown"));
  return row.updated_at ? time(row.updated_at, "ago") : null;
}

function line(row) {
  return el("article", { className: `row${row.handled ? " handled" : ""}`, dataset: { dagId: row.dag_id, runId: row.run_id } },
    pill(row), runLink(row), why(row), attempts(row) ?? el("span"), when(row) ?? el("span"), actions(row, again));
}

function section(name, rows, more, alarms) {
  const box = byId(name);
  const open = name === "attention" ? rows.filter((row) => !row.handled).length : rows.length;
  box.querySelector(".count").textContent = `${open}${more ? "+" : ""}`;
  box.classList.toggle("some", open > 0);
  const list = box.querySelector(".rows");
  const sorted = name === "attention" ? [...rows].sort((a, b) => Boolean(a.handled) - Boolean(b.handled)) : rows;
  keyed(list, [...sorted, ...(rows.length ? [] : [{ empty: more ? "None among the newest 10,000." : name === "attention" && alarms.length ? "No single run needs you." : EMPTY[name] }]), ...(more && limit < 200 ? [{ more: name }] : [])],
    (row) => JSON.stringify([row.dag_id, row.run_id, row.empty, row.more]),
    (row) => row.empty ? el("p", { className: "empty" }, row.empty)
      : row.more ? el("button", { type: "button", className: "more", onclick: showMore }, "Show more")
      : line(row));
}

function showMore() {
  limit = Math.min(limit * 3, 200);
  again();
}

const again = poll(async (current) => {
  const found = await ask("api/runs", { ...filters(), limit });
  if (current()) {
    for (const [name, rows] of Object.entries(found.sections)) section(name, rows, found.more.includes(name), found.alarms);
    const some = Object.values(found.sections).some((rows) => rows.length) || found.more.length > 0;
    byId("race").hidden = some || Object.keys(filters()).length > 0;
    recovery();
  }
  return found;
});

function bar({ dag_id: dagId, outcomes }) {
  const recovered = outcomes.succeeded ?? 0;
  const ended = recovered + (outcomes.attention ?? 0);
  const full = el("span", { className: "full" });
  full.style.width = `${ended ? (100 * recovered) / ended : 0}%`;
  return el("li", {},
    el("button", { type: "button", className: "dag", title: `Only ${dagId}`, onclick: () => only(dagId) }, dagId),
    el("span", { className: "share" }, ended ? `${Math.round((100 * recovered) / ended)} %` : "–"),
    el("span", { className: `bar${ended ? "" : " none"}` }, full),
    el("small", {}, ended ? `${recovered} of ${ended} runs` : "still retrying"));
}

function only(dagId) {
  byId("dag").value = dagId;
  again();
  asked = 0;
  recovery();
}

let asked = 0; // when the recovery rate was asked for last; it changes slowly

async function recovery() {
  if (Date.now() - asked < 30000) return;
  asked = Date.now();
  const dags = await ask("api/recovery", filters().dag ? { dag: filters().dag } : {});
  const size = ({ outcomes }) => Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  dags.sort((a, b) => size(b) - size(a) || a.dag_id.localeCompare(b.dag_id));
  keyed(byId("recovery").querySelector(".bars"), dags.slice(0, 15), (dag) => dag.dag_id, bar);
  byId("recovery").hidden = dags.length === 0;
}

byId("status").append(el("option", { value: "" }, "any status"),
  ...Object.entries(STATUSES).filter(([code]) => code !== "unreadable").map(([value, text]) => el("option", { value }, text)));
let typing;
byId("filters").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { asked = 0; again(); }, 200);
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
