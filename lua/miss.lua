-- miss: Airflow says that the run has failed, and no callback has claimed that failure: it needs a human.
--
-- A callback that comes after all is let through: 'unclaimed' is in nobody's hand, and its budget goes on.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] grace       ms since the last change of the record, within which a callback may be on its way
--   [5] queued_at   ms; when Airflow last queued the run (each clear does), by Airflow's clock
--   [6] holder      who noticed: host and process, for the reader
--
-- Returns:
--   1   unclaimed from now on: tell it
--   0   the failure is in hand, or ended the budget, or is known to be unclaimed; nothing is changed

local grace = tonumber(ARGV[4])
local queued_at = tonumber(ARGV[5])
local holder = ARGV[6]

local generation = 0
if record then
  -- Airflow's clock may differ from Redis's by a minute.
  local cleared_since = queued_at > tonumber(record.updated_at) + 60000
  if record.due_at ~= '0' or now - tonumber(record.updated_at) < grace
      or (record.status ~= 'retrying' and not cleared_since) then
    return 0
  end
  -- At least: a person may have cleared the run more than once since.
  generation = tonumber(record.generation) + 1
end
local known = record or {base = '0', attempt = '0', max_attempts = '0', claim_id = '', budget_at = numeral(now)}
save('unclaimed', {status = 'unclaimed', generation = numeral(generation), base = known.base, attempt = known.attempt,
  max_attempts = known.max_attempts, claim_id = '', budget_at = known.budget_at, holder = holder, level = 'sweeper',
  task_id = '', map_index = '-1', ti_id = '', error = '', options = '', reason = 'lost_callback', acknowledged = '1',
  due_at = '0'})
return 1
