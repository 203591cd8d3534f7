-- reset: a person wants the attempts of a run counted anew, without waiting for an ending.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   a fresh budget, from now or (a repeat) from before; a clear that is still to come is its first attempt
--   0   no record; nothing is changed

if not record then
  return 0
end
-- A clear to come follows the generation of the record, and so does a refused one that may be tried once more. What
-- follows any other status begins with the next generation.
local to_come = record.status == 'waiting' or record.status == 'claimed'
  or (record.status == 'blocked' and record.due_at ~= '0')
local base = numeral(tonumber(record.generation) + (to_come and 0 or 1))
local attempt = to_come and '1' or '0'
if record.base ~= base or record.attempt ~= attempt then
  save('reset', {'base', base, 'attempt', attempt, 'budget_at', numeral(now)})
end
return 1
