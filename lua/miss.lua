-- miss: Airflow says that the run has failed, and no callback has claimed that failure. The run needs a human.
--
-- A callback that comes after all is let through: an unclaimed run is in nobody's hand, and its budget goes on.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   grace       ms since the last change of the record, within which a callback may be on its way
--   queued_at   ms; when Airflow last queued the run (each clear does), by Airflow's clock
--
-- Returns:
--   1   unclaimed from now on: tell it
--   0   the failure is in hand, or ended the budget, or is known to be unclaimed; nothing is changed

local generation = 0
if record then
  local changed_at = tonumber(record.updated_at)
  -- Airflow's clock may differ from Redis's by a minute.
  local cleared_since = tonumber(args.queued_at) > changed_at + 60000
  if record.due_at ~= '0' or now - changed_at < tonumber(args.grace)
      or (record.status ~= 'retrying' and not cleared_since) then
    return 0
  end
  -- At least: a person may have cleared the run more than once since.
  generation = tonumber(record.generation) + 1
end
local known = record or {base = '0', attempt = '0', max_attempts = '0', budget_at = numeral(now)}
save('unclaimed', {'status', 'unclaimed', 'reason', 'no_callback', 'attempt', known.attempt, 'max_attempts',
  known.max_attempts, 'generation', numeral(generation), 'base', known.base, 'lost', '0', 'claim_id', '', 'level',
  'sweeper', 'task_id', '', 'map_index', '-1', 'ti_id', '', 'error', '', 'clear', '', 'budget_at', known.budget_at,
  'due_at', '0'})
return 1
