-- block: records that the run is not cleared for this claim: an ending.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease     ms; if the ending is not acknowledged within this time, another holder tells the hooks
--   claim_id
--   status    'blocked' where Airflow refused the clear for good, 'skipped' where there is a reason not to clear,
--             'exhausted' where Airflow knows that every attempt of the budget is used
--   reason    why, as a code: 'http_403', 'settled_by_hand', 'audit_log', ...
--   attempt   how many attempts are used. Default: as the record says
--
-- Returns:
--   1   the budget has ended, now or (a repeat) before: tell the hooks, then acknowledge
--   0   this claim does not hold the run any more; nothing is changed

local status = args.status

if not record or record.claim_id ~= args.claim_id then
  return 0
end
if record.status == status then
  return 1
end
if record.status ~= 'claimed' then
  return 0
end
-- A holder that does not have the hooks leaves the ending to whoever has them.
local lease = has_hooks(record.level, record.flags) and args.lease or 0
save(status, {'status', status, 'reason', args.reason, 'attempt', args.attempt or record.attempt, 'due_at',
  numeral(now + lease)})
return 1
