// The actions on a run, for users who may edit it. A dialog of the page asks first, since Airflow's frame blocks
// confirm().

import { el } from "./dom.js";
import { ask } from "./live.js";
import { NEEDS_HUMAN } from "./words.js";

const ACTIONS = {
  retry: {
    text: "Retry",
    of: (row) => row.airflow?.state === "failed" && (NEEDS_HUMAN.includes(row.status) || (row.status === "claimed" && row.overdue)),
    about: "Airflow clears the run, in your name, and it starts again. If it fails again, a fresh budget of attempts begins.",
    act: clear,
    done: "Airflow has cleared it: it starts again.",
  },
  hasten: {
    text: "Retry now",
    of: (row) => row.status === "waiting",
    about: "The attempt does not wait any longer. A sweeper clears the run within seconds.",
    act: (row) => change("hasten", row),
    done: "The attempt is due now.",
  },
  cancel: {
    text: "Cancel",
    of: (row) => ["waiting", "claimed", "retrying"].includes(row.status),
    about: "The next attempt is cancelled. A failed run stays failed until somebody clears it.",
    act: (row) => change("cancel", row),
    done: "The next attempt is cancelled.",
  },
  reset: {
    text: "Reset",
    of: (row) => row.status === "retrying" || NEEDS_HUMAN.includes(row.status),
    about: "The attempts of the run are counted anew, from 0. Nothing is cleared now: a failed run stays failed until somebody clears it.",
    act: (row) => change("reset", row),
    done: "The attempts are counted anew. Nothing was cleared.",
  },
};

function change(verb, row) {
  const query = { dag_id: row.dag_id, run_id: row.run_id };
  return ask(`api/${verb}`, query, { method: "POST", headers: { "X-Dag-Retry": "page" } });
}

// Some ids fit no path of the API: browsers fold dots, `~` means all, and Airflow takes no slash in any form. Airflow 3.3
// takes such ids in a body.
const fits = (id) => !["", ".", "..", "~"].includes(id) && !id.includes("/");

// The run may have changed since the page was loaded: Airflow would also clear a run that is running or has succeeded.
async function clear(row) {
  const { airflow } = await ask("api/run", { dag_id: row.dag_id, run_id: row.run_id });
  if (airflow?.state !== "failed") throw new Error(`Nothing was cleared: ${airflow ? `Airflow has the run as ${airflow.state}` : "the run is gone"}.`);
  const body = { dry_run: false };
  for (const option of ["only_failed", "run_on_latest_version"]) if (row.clear_options?.includes(option)) body[option] = true;
  const [dag, run] = [row.dag_id, row.run_id];
  const path = fits(dag) && fits(run) ? `${encodeURIComponent(dag)}/dagRuns/${encodeURIComponent(run)}/clear` : "~/clearDagRuns";
  if (path === "~/clearDagRuns") body.dag_runs = [{ dag_id: dag, dag_run_id: run }];
  return ask(`../api/v2/dags/${path}`, {}, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

function say(text, failed) {
  const toast = el("output", { className: `toast${failed ? " failed" : ""}`, role: failed ? "alert" : "status" }, text);
  document.body.append(toast);
  setTimeout(() => toast.remove(), failed ? 15000 : 5000);
}

function confirm(action, row, again) {
  const box = el("dialog", { className: "confirm" });
  const go = el("button", { type: "button", className: "go" }, action.text);
  const no = el("button", { type: "button", onclick: () => box.close() }, "Leave it");
  box.append(
    el("h3", {}, `${action.text}?`),
    el("p", { className: "ids" }, el("span", { className: "dag" }, row.dag_id), el("span", { className: "run" }, row.run_id)),
    el("p", {}, action.about),
    el("div", { className: "buttons" }, no, go),
  );
  go.addEventListener("click", async () => {
    go.disabled = true;
    try {
      await action.act(row);
      say(action.done);
    } catch (error) {
      say(error.status === 403 ? `Airflow refused: you may not edit runs of this Dag. ${error.message}` : error.message, true);
    }
    box.close();
    again();
  });
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

export function actions(row, again) {
  const can = row.may_edit ? Object.entries(ACTIONS).filter(([, action]) => action.of(row)) : [];
  return el("div", { className: "actions" }, ...can.map(([verb, action]) =>
    el("button", { type: "button", dataset: { verb }, onclick: () => confirm(action, row, again) }, action.text)));
}
