-- miss: records that the run has failed, and that no callback has claimed the failure. The run needs a human.
--
-- A callback that comes later can still win its claim, since nobody holds an unclaimed run. The budget goes on.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   grace         ms after the last change of the record; within this time a callback may still be on its way
--   queued_at     ms; when Airflow last queued the run (each clear does), by Airflow's clock
--   run_started   ms; when the run began. Default: unknown
--
-- Returns:
--   1   the run is unclaimed, from now on
--   0   somebody holds the run, or the budget has ended, or the run is known to be unclaimed; nothing is changed

local generation = 0
if record then
  local changed_at = tonumber(record.updated_at)
  -- Airflow's clock and Redis's may differ by a minute.
  local cleared_since = tonumber(args.queued_at) > changed_at + 60000
  if record.due_at ~= '0' or now - changed_at < tonumber(args.grace)
      or (record.status ~= 'retrying' and not cleared_since) then
    return 0
  end
  -- This is the least that the generation can be. A person may have cleared the run more than once since.
  generation = tonumber(record.generation) + 1
end
local known = record or {base = '0', attempt = '0', max_attempts = '0', flags = '', budget_at = numeral(now)}
save('unclaimed', {'status', 'unclaimed', 'reason', 'no_callback', 'attempt', known.attempt, 'max_attempts',
  known.max_attempts, 'generation', numeral(generation), 'base', known.base, 'lost', '0', 'claim_id', '', 'level',
  'sweeper', 'task_id', '', 'map_index', '-1', 'ti_id', '', 'error', '', 'flags', known.flags,
  'run_started', args.run_started or '0', 'budget_at', known.budget_at, 'due_at', '0'})
return 1
