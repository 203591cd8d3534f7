-- take: the sweeper takes a run that is due: its delay is over, its holder dead, or its ending told to nobody.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease     ms; how long the taker may take before another takes the run
--   claim_id  the same id asked again gets the same answer
--
-- Returns:
--   {verdict, field, value, ...}   taken, and the whole record. 'won': renew, clear, confirm; 'exhausted' or 'skipped':
--                                  tell the ending, then acknowledge
--   {}                             not due, or another has taken the run

if not record then
  -- Redis forgot the record, or its TTL is over, and the index still has the run.
  index(active_key, nil)
  return {}
end
local due_at = tonumber(record.due_at) or 0
local verdict
if record.claim_id == args.claim_id then
  verdict = (record.status == 'exhausted' or record.status == 'skipped') and record.status or 'won'
elseif due_at > 0 and now >= due_at then -- rule: what is due is taken by one
  verdict = take_over('sweeper')
else
  -- The index may say otherwise, and then would offer this run for ever. (A record without a TTL is not ours.)
  local left = redis.call('PTTL', run_key)
  index(active_key, look_at(left < 0 and ttl or left))
  return {}
end
return {verdict, unpack(redis.call('HGETALL', run_key))}
