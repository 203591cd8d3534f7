// The parts that both pages show of a run.

import { el } from "./dom.js";
import { status } from "./words.js";

export function runLink(row) {
  const query = new URLSearchParams({ dag_id: row.dag_id, run_id: row.run_id });
  return el("a", { href: `run?${query}`, className: "ids" },
    el("span", { className: "dag", title: row.dag_id }, row.dag_id), el("span", { className: "run", title: row.run_id }, row.run_id));
}

export function pill(row) {
  return el("span", { className: "pill", dataset: { status: row.status } }, status(row));
}

export function attempts(row) {
  if (!row.max_attempts) return null;
  const text = row.was_reset ? `reset: ${row.max_attempts} left` : `${row.attempt} of ${row.max_attempts}`;
  const dots = Array.from({ length: row.max_attempts > 4 ? 0 : row.max_attempts }, (_, at) => el("i", { className: at < row.attempt ? "used" : "" }));
  return el("span", { className: "attempts", title: row.was_reset ? "The attempts so far do not count." : `attempt ${text}` }, el("span", { className: "dots", ariaHidden: "true" }, ...dots), text);
}
