-- reset: a person wants the attempts of a run counted anew, without waiting for an ending.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] holder    who asks, for the reader
--
-- Returns:
--   1   a fresh budget, from now or (a repeat) from before; a clear that is still to come is its first attempt
--   0   no record; nothing is changed

local holder = ARGV[4]

if not record then
  return 0
end
-- A clear to come, or one that was refused and may be tried once more, follows the generation of the record. What
-- follows any other status begins with the next one.
local to_come = record.status == 'waiting' or record.status == 'claimed'
  or (record.status == 'blocked' and record.acknowledged == '0')
local base = numeral(tonumber(record.generation) + (to_come and 0 or 1))
local attempt = to_come and '1' or '0'
if record.base ~= base or record.attempt ~= attempt then
  save('reset', {base = base, attempt = attempt, budget_at = numeral(now)}, {holder = holder})
end
return 1
