-- take: a sweeper takes a run that is due. Its delay is over, or its holder is dead, or its hooks were not told of its
-- ending. An ending that only a Dag's own hooks are to be told of is for a callback of that Dag.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease     ms; if the sweeper does not finish within this time, another holder takes the run
--   claim_id  a repeat with the same id gets the same answer
--
-- Returns:
--   {verdict, field, value, ...}   the run is taken; the whole record follows. On 'won' renew, clear and confirm. On
--                                  'exhausted' or 'skipped' tell the hooks, then acknowledge
--   {}                             the run is not due, or another sweeper has taken it
--   an error                       the record is not of schema v1

if not record then
  -- Redis forgot the record, or the record's TTL is over. The indexes still hold the run.
  index(active_key, nil)
  index(attention_key, nil)
  return {}
end
local due_at = tonumber(record.due_at)
if not record.status or not due_at then
  return redis.error_reply('ERR the record is not of schema v1')
end
if not needs_human() then
  -- The record may have been unreadable, and a person has repaired it.
  index(attention_key, nil)
end
local verdict
if record.claim_id == args.claim_id then
  verdict = (record.status == 'exhausted' or record.status == 'skipped') and record.status or 'won'
elseif due_at > 0 and now >= due_at and not awaits_own_hooks() then -- rule: what is due is taken by one
  verdict = take_over('sweeper')
else
  -- An index with a wrong score would offer this run for ever, so the score is corrected. A record without a TTL is not
  -- one of ours.
  local left = redis.call('PTTL', run_key)
  index(active_key, look_at(left < 0 and ttl or left))
  return {}
end
return {verdict, unpack(redis.call('HGETALL', run_key))}
