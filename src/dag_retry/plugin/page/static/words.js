// The words that the page shows for statuses, reasons and levels.

export const STATUSES = {
  waiting: "waiting",
  claimed: "clearing",
  retrying: "retrying",
  succeeded: "recovered",
  exhausted: "gave up",
  blocked: "blocked",
  skipped: "not retried",
  unclaimed: "missed",
  unreadable: "unreadable",
};

export const NEEDS_HUMAN = ["exhausted", "blocked", "skipped", "unclaimed"];

const REASONS = {
  claimed: "",
  cleared: "",
  succeeded: "",
  already_cleared: "somebody had cleared it already",
  taken_over: "taken over: the winner died before the clear",
  fresh_budget: "a fresh budget, after a clear by hand",
  max_attempts: "every attempt failed",
  max_elapsed: "the next attempt would begin too late",
  due: "its delay is over",
  generation: "cleared as often as attempts are allowed, clears by hand included",
  stale: "a failure of an earlier attempt",
  http_401: "Airflow refused the login (HTTP 401)",
  http_403: "Airflow refused: the user may not edit runs of this Dag (HTTP 403)",
  http_404: "Airflow does not know this run (HTTP 404)",
  not_airflow: "something other than Airflow answers at the API's address",
  unsafe_id: "its id fits no path of Airflow's API: Airflow 3.3 takes such ids",
  exception_not_retryable: "the policy does not retry this exception",
  dag_paused: "the Dag is paused",
  newer_run_succeeded: "a newer run of this Dag has succeeded",
  no_callback: "the run failed, and no callback claimed that failure",
  disabled: "retries are switched off",
  config: "a setting is wrong: see the log of the callback",
  cancelled: "cancelled by hand",
};

export const status = (row) => STATUSES[row.status] ?? row.status;

export function reason(code) {
  return REASONS[code] ?? code.replaceAll("_", " ");
}

export function task(of) {
  return of.map_index >= 0 ? `${of.task_id} [${of.map_index}]` : of.task_id;
}

// Returns what a person has done about the run since it ended, or null: it then needs no other human.
export function handled(row) {
  if (!row.airflow || !NEEDS_HUMAN.includes(row.status)) return null;
  if (row.airflow.state === "success") return "succeeded since";
  if (row.airflow.clear_number > row.generation) return `cleared by hand, ${row.airflow.state}`;
  return null;
}

// Why a run may be overdue.
export const LATE = { waiting: "nobody has cleared it: does a sweeper run?", claimed: "the winner died: does a sweeper run?" };

export const LEVELS = { task: "the task’s callback", dag: "the Dag’s callback", sweeper: "the sweeper" };
