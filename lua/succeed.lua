-- succeed: records that the run succeeded. The record is kept, so that late callbacks lose.
--
-- A run may succeed although a task of it failed. If nobody has cleared the run since that failure, nothing has recovered.
-- What was to come comes no more: a clear, or the telling of an ending. An ending that was told stays what it is.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   generation    dag_run.clear_number. Default: the generation that the confirmed clear began
--   run_started   ms; when the run began. Default: unknown
--
-- Returns:
--   {field, value, ...}   the whole record: this success ended a budget, now or (a repeat) before
--   {}                    nothing to end: no record, an older generation, no clear, or a success after a success

if not record then
  return {}
end
local claimed = tonumber(record.generation)
local current = record.status == 'retrying' and claimed + 1 or claimed
local generation = tonumber(args.generation) or current
if generation < current then -- rule: an older success changes nothing
  return {}
end
-- The failed try is of an older generation now. So late callbacks of this one are told from those of a run made anew by
-- its start alone.
local started = generation > claimed and (args.run_started or '0') or record.run_started -- rule: a success has a start
local generation_text = numeral(generation)
local uncleared = generation == claimed or claimed < 0 -- rule: no clear, no recovery
if record.status == 'succeeded' then
  if generation > claimed then
    -- A person cleared the run after its success, and the run succeeded again. Its late callbacks lose too.
    save(nil, {'generation', generation_text, 'run_started', started})
    return {}
  end
elseif uncleared and (record.due_at ~= '0' or record.reason == 'cancelled') then -- rule: a success needs no alarm
  save('skipped', {'status', 'skipped', 'reason', 'run_succeeded', 'generation', generation_text, 'run_started', started,
    'claim_id', '', 'due_at', '0'}, {level = 'dag'})
  return {}
elseif uncleared and record.status ~= 'unclaimed' then
  return {}
else
  -- The record keeps the level of the last claim. The event has the level of this callback. Nobody holds the claim any
  -- more, and the clear has given the task another id.
  save('succeeded', {'status', 'succeeded', 'reason', 'succeeded', 'generation', generation_text, 'run_started', started,
    'claim_id', '', 'ti_id', '', 'due_at', '0'}, {level = 'dag'})
end
return redis.call('HGETALL', run_key) -- rule: a success is kept
