-- block: records that the run is not cleared for this claim. The run needs a human.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease     ms; if the ending is not acknowledged within this time, another holder tells the hooks
--   claim_id
--   status    'blocked' where Airflow refused the clear for good, 'skipped' where there is a reason not to clear
--   reason    why, as a code: 'http_403', 'not_airflow', 'dag_paused', ...
--
-- Returns:
--   1   blocked or skipped, now or (a repeat) before: tell the hooks, then acknowledge
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
save(status, {'status', status, 'reason', args.reason, 'due_at', numeral(now + args.lease)})
return 1
