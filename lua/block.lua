-- block: the run is not cleared for this claim; it needs a human.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] lease     ms; how long the telling may take before another tells it
--   [5] claim_id
--   [6] status    'blocked' where Airflow refused the clear for good, 'skipped' where there is a reason not to ask for it
--   [7] reason    why, as a code: 'http_403', 'not_airflow', 'dag_paused', ...
--
-- Returns:
--   1   blocked or skipped, now or (a repeat) before: tell it, then acknowledge
--   0   not the holder any more; nothing is changed

local lease = tonumber(ARGV[4])
local claim_id = ARGV[5]
local status = ARGV[6]
local reason = ARGV[7]

if not record or record.claim_id ~= claim_id then
  return 0
end
if record.status == status then
  return 1
end
if record.status ~= 'claimed' then
  return 0
end
save(status, {status = status, reason = reason, acknowledged = '0', due_at = numeral(now + lease)})
return 1
