-- succeed: records that the run succeeded. The record is kept, so that late callbacks lose.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   generation   dag_run.clear_number. Default: the generation that the confirmed clear began
--
-- Returns:
--   {field, value, ...}   the whole record: this success ended a budget, now or (a repeat) before
--   {}                    nothing to end: no record, an older generation, or a success after a success

if not record then
  return {}
end
local current = tonumber(record.generation)
local generation = tonumber(args.generation)
if not generation then
  generation = record.status == 'retrying' and current + 1 or current
end
if generation < current then -- rule: an older success changes nothing
  return {}
end
if record.status ~= 'succeeded' then
  -- The record keeps the level of the last claim. The event has the level of this callback.
  save('succeeded', {'status', 'succeeded', 'generation', numeral(generation), 'reason', 'succeeded', 'due_at', '0'},
    {level = 'dag'})
elseif generation > current then
  -- A person cleared the run after its success, and the run succeeded again. Its late callbacks lose too.
  save(nil, {'generation', numeral(generation)})
  return {}
end
return redis.call('HGETALL', run_key) -- rule: a success is kept
