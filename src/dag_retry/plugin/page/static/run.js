// The tab on a Dag run: which task failed, which callback won, how many callbacks lost, and how the clear ended.

import "./theme.js";
import { actions } from "./actions.js";
import { el, keyed } from "./dom.js";
import { airflowLink, ask, poll } from "./live.js";
import { attempts, pill } from "./parts.js";
import { exact, time } from "./time.js";
import { LATE, LEVELS, STILL_QUEUED, UNTOLD, task } from "./words.js";

const query = new URLSearchParams(location.search);
const ids = { dag_id: query.get("dag_id") ?? "", run_id: query.get("run_id") ?? "" };

const failedTask = (of) => el("span", {}, el("code", {}, task(of) || "a task"), of.error && " ", of.error && el("code", { className: "error" }, of.error));
const who = (event) => el("span", { className: "who", title: event.holder }, LEVELS[event.level] ?? event.level);
const told = (...children) => el("span", {}, ...children);

const TOLD = {
  won: (event) => ["won", told(failedTask(event), " failed: attempt ", el("b", {}, `${event.attempt} of ${event.max_attempts}`), " was won by ", who(event),
    event.why && `, ${event.why}`)],
  taken_over: (event) => ["won", told("Taken over by ", who(event), ": the winner died before it had finished")],
  cleared: (event) => ["cleared", told(event.reason === "already_cleared" ? "Somebody else had cleared the run: nothing was sent" : "Cleared: Airflow answered HTTP 200")],
  succeeded: () => ["succeeded", told(el("b", {}, "The run succeeded"))],
  exhausted: (event) => ["failed", told(failedTask(event), " failed: ", el("b", {}, "gave up"), `, ${event.why}`)],
  blocked: (event) => ["failed", told(el("b", {}, "Blocked"), `: ${event.why}`)],
  skipped: (event) => ["failed", event.reason === "cancelled" ? told(el("b", {}, "Cancelled"), " by ", el("b", {}, event.holder || "hand")) : told(failedTask(event), " failed: ", el("b", {}, "not retried"), `, ${event.why}`)],
  unclaimed: (event) => ["failed", told(el("b", {}, "Missed"), `: ${event.why}`)],
  unconfirmed: () => ["cleared", told("Cleared, but not recorded: the winner may have died after the clear")],
  postponed: (event) => ["", told("Waits for a sweeper", event.why && `: ${event.why}`)],
  withdrawn: () => ["", told("Airflow gave the task a new try without a clear: the failure was none")],
  gone: () => ["", told("The run was deleted, and its record with it")],
  lost: (event) => ["lost", told("None of these callbacks won", event.why && `: ${event.why}`)],
  hastened: (event) => ["by-hand", told("Made due at once, by ", el("b", {}, event.holder || "hand"))],
  retried: (event) => ["by-hand", told("Retried by hand, by ", el("b", {}, event.holder || "somebody"))],
  reset: (event) => ["by-hand", told("Attempts counted anew, by ", el("b", {}, event.holder || "hand"))],
  by_hand: (event) => ["by-hand", told("Cleared by ", el("b", {}, event.who ?? "hand"))],
};

// The lines of the timeline. The callbacks of a generation that lost share a line. A gap between generations is a clear by
// hand. Where a sweeper has found the failure, its generation is the least that it can be. Then only clears that Airflow's
// audit log names are shown.
function timeline({ row, events, by_hand: known, airflow }) {
  const lines = [];
  let named = [...known].sort((a, b) => a.at - b.at);
  const gap = (generation, before) => (least ? named.filter((clear) => clear.at <= before).length : generation - next);
  const byHand = (count, before) => {
    for (let left = count; left > 0; left--) {
      if (open) {
        open = false;
        lines.push({ event: "unconfirmed" });
        continue;
      }
      const at = named.findIndex((clear) => clear.at <= before);
      lines.push({ event: "by_hand", ...(at >= 0 ? named.splice(at, 1)[0] : {}) });
    }
  };
  let next = Math.max(0, events[0]?.generation ?? 0); // the generation after the clears so far; -1: cancelled before a failure
  let open = false; // whether a claim was won whose clear was not confirmed
  let least = false; // whether a sweeper found the last failure
  for (const event of events) {
    if (event.event === "lost") {
      const last = lines.findLast((line) => line.generation === event.generation && line.event !== "by_hand") ?? { lost: [] };
      (last.lost ??= []).push(event);
      if (!lines.includes(last)) lines.push({ ...event, lost: [event] });
      continue;
    }
    if (event.event !== "cleared") byHand(gap(event.generation, event.at), event.at);
    open = ["won", "taken_over"].includes(event.event);
    next = Math.max(next, event.generation + (["cleared", "retried"].includes(event.event) ? 1 : 0));
    if (["won", "exhausted", "unclaimed"].includes(event.event)) {
      least = event.level === "sweeper";
      if (least) named = named.filter((clear) => clear.at > event.at);
    }
    lines.push({ ...event });
  }
  if (airflow && events.length) byHand(gap(airflow.clear_number, Infinity), Infinity);
  const counted = row && lines.findLast((line) => line.lost && line.generation === row.generation);
  return lines.map((line, place) => ({ ...line, place, total: Math.max(line.lost?.length ?? 0, line === counted ? row.lost : 0) }));
}

// The stream has events of the first few callbacks that lost. The record counts all of them.
function losers(lost, total) {
  const count = new Map();
  for (const event of lost) {
    const name = `${task(event) || "the Dag"} (${event.why})`;
    count.set(name, (count.get(name) ?? 0) + 1);
  }
  const names = [...count].map(([name, times]) => (times > 1 ? `${name} × ${times}` : name));
  return el("details", { className: "lost" },
    el("summary", {}, `${total} more ${total > 1 ? "callbacks" : "callback"} suppressed`), el("ul", {}, ...names.map((name) => el("li", {}, name))));
}

function entry(line) {
  const [kind, text] = (TOLD[line.event] ?? ((event) => ["lost", el("span", {}, event.event.replaceAll("_", " "))]))(line);
  return el("li", { dataset: { kind } }, line.at ? exact(line.at) : el("time", {}, "–"),
    el("div", {}, text, line.generation >= 0 && el("small", { title: "dag_run.clear_number" }, ` generation ${line.generation}`), line.lost && losers(line.lost, line.total)));
}

function summary({ row, airflow }) {
  if (!row) return [el("p", { className: "empty" }, "This run has never failed, or its record has expired.")];
  const facts = [
    ["Airflow says", airflow ? `${airflow.state}, cleared ${airflow.clear_number} ${airflow.clear_number === 1 ? "time" : "times"}` : "the run is gone"],
    ["Why", row.overdue ? LATE[row.status] : row.still_queued ? STILL_QUEUED : row.why],
    ["To do", !row.handled && row.remedy],
    ["Alert", row.untold && UNTOLD],
    ["In vain", row.faults > 0 && `${row.faults} ${row.faults === 1 ? "time" : "times"} in a row`],
    ["Last failed", row.task_id && failedTask(row)],
    ["First failure", row.budget_at && time(row.budget_at, "ago")],
    ["Last change", row.updated_at && time(row.updated_at, "ago")],
    ["Next", row.overdue ? time(row.due_at, "late") : row.status === "waiting" && el("span", {}, "in ", time(row.due_at, "countdown"))],
  ];
  return [
    el("div", { className: "line" }, pill(row), attempts(row), row.handled && el("b", {}, row.handled), actions(row, again)),
    el("dl", {}, ...facts.filter(([, fact]) => fact).map(([name, fact]) => el("div", {}, el("dt", {}, name), el("dd", {}, fact)))),
  ];
}

// Above its tab, Airflow shows the ids itself.
if (parent === window || !parent.location.pathname.includes("/runs/")) {
  document.getElementById("which").append(
    el("a", { href: ".", className: "back" }, "‹ Dag retries"),
    el("span", { className: "ids" }, el("span", { className: "dag" }, ids.dag_id), el("span", { className: "run" }, ids.run_id)),
    airflowLink(`dags/${encodeURIComponent(ids.dag_id)}/runs/${encodeURIComponent(ids.run_id)}`, "Open in Airflow"),
  );
}

const again = poll(async (current) => {
  const found = await ask("api/run", ids);
  if (current()) {
    keyed(document.getElementById("summary"), [{ row: found.row, airflow: found.airflow }], () => "", (item) => el("div", {}, ...summary(item)));
    keyed(document.getElementById("timeline"), timeline(found), (line) => line.place, entry);
  }
  return found;
});
