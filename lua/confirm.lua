-- confirm: records that the run has been cleared for this claim. From now on only the next generation can be claimed.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   claim_id
--   reason    the reason of the event: 'cleared', or 'already_cleared' if somebody else had cleared the run
--   attempt   the attempt that begins, if Airflow knows of more than Redis. Default: as the record says
--
-- Returns:
--   1   confirmed, now or (a repeat) before
--   0   this claim does not hold the run any more; nothing is changed

if not record or record.claim_id ~= args.claim_id then
  return 0
end
if record.status == 'retrying' then
  return 1
end
if record.status ~= 'claimed' then
  return 0
end
-- The record keeps the reason of its claim, so that a claim asked again gets the same answer.
save('cleared', {'status', 'retrying', 'attempt', args.attempt or record.attempt, 'due_at', '0'}, {reason = args.reason})
return 1
