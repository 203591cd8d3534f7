-- succeed: the run succeeded. The record is kept as an ending, so that late callbacks lose.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] generation   dag_run.clear_number, or '' where unknown: then the one that follows the confirmed clear
--
-- Returns:
--   {field, value, ...}   the whole record: this success ended a budget, now or (a repeat) before
--   {}                    nothing to end: no record, an older generation, or a success after a success

if not record then
  return {}
end
local current = tonumber(record.generation)
local generation = tonumber(ARGV[4])
if not generation then
  generation = record.status == 'retrying' and current + 1 or current
end
if generation < current then
  return {}
end
if record.status ~= 'succeeded' then
  -- The record keeps who made the last claim; it is the Dag level that tells of a success.
  save('succeeded', {status = 'succeeded', generation = numeral(generation), reason = 'succeeded', acknowledged = '1',
    due_at = '0'}, {level = 'dag', holder = ''})
elseif generation > current then
  -- Cleared by a person after it had succeeded, and succeeded again: its late callbacks lose too.
  save(nil, {generation = numeral(generation)})
  return {}
end
return redis.call('HGETALL', run_key)
