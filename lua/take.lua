-- take: the sweeper takes a run that is due: its delay is over, its holder dead, or its ending told to nobody.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] lease     ms; how long the taker may take before another takes it
--   [5] claim_id  the same id asked again gets the same answer
--   [6] holder    who asks: host and process, for the reader
--
-- Returns:
--   {verdict, field, value, ...}   taken, and the whole record. 'won': renew, clear, confirm; 'exhausted' or 'skipped':
--                                  tell it, then acknowledge
--   {}                             not due, or another has taken it

local lease = tonumber(ARGV[4])
local claim_id = ARGV[5]
local holder = ARGV[6]

if not record then
  -- Redis lost it, and not its entry among what is due.
  redis.call('ZREM', due_key, dag_id .. ':' .. run_id)
  return {}
end
local verdict
if record.claim_id == claim_id then
  verdict = (record.status == 'exhausted' or record.status == 'skipped') and record.status or 'won'
elseif record.due_at ~= '0' and now >= tonumber(record.due_at) then
  verdict = take_over(claim_id, holder, 'sweeper', lease)
else
  return {}
end
return {verdict, unpack(redis.call('HGETALL', run_key))}
