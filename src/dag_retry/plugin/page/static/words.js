// The words that the page shows for statuses and levels.

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

export const status = (row) => STATUSES[row.status] ?? row.status;

export function task(of) {
  return of.map_index >= 0 ? `${of.task_id} [${of.map_index}]` : of.task_id;
}

// Why a run may be overdue.
export const LATE = { waiting: "nobody has cleared it: does a sweeper run?", claimed: "the winner died: does a sweeper run?" };

export const STILL_QUEUED = "Airflow has not started it: is the Dag paused, or does another run hold its place?";

export const UNTOLD = "untold: a hook fails, or its callback was lost";

export const LEVELS = { task: "the task’s callback", dag: "the Dag’s callback", sweeper: "the sweeper" };
