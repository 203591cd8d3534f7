// Statuses and events in the words of whoever is on call.

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

export const status = (row) => STATUSES[row.status] ?? row.status;

export function task(of) {
  return of.map_index >= 0 ? `${of.task_id} [${of.map_index}]` : of.task_id;
}

// Whether a person has cleared the run since, or set its state: then nobody needs to.
export function handled(row) {
  if (!row.airflow || !["exhausted", "blocked", "skipped", "unclaimed"].includes(row.status)) return null;
  if (row.airflow.state === "success") return "succeeded since";
  if (row.airflow.clear_number > row.generation) return `cleared by hand, ${row.airflow.state}`;
  return null;
}

// What an overdue run waits for.
export const LATE = { waiting: "nobody clears it: does a sweeper run?", claimed: "the winner died: does a sweeper run?" };

export const LEVELS = { task: "the task’s callback", dag: "the Dag’s callback", sweeper: "the sweeper" };
