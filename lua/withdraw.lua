-- withdraw: the claimed failure was none, since Airflow has given the task a new try without a clear. The record is as it
-- was before the claim, so that the next failure in this generation can be claimed.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   claim_id
--
-- Returns:
--   1   the claim is withdrawn
--   0   this claim does not hold the run any more; nothing is changed

if not record or record.claim_id ~= args.claim_id or record.status ~= 'claimed' then
  return 0
end
local generation = tonumber(record.generation)
if generation == 0 then
  forget('withdrawn')
else
  save('withdrawn', {'status', 'retrying', 'reason', 'replaced', 'generation', numeral(generation - 1), 'attempt',
    numeral(record.attempt - 1), 'claim_id', '', 'due_at', '0'})
end
return 1
