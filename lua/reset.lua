-- reset: a person gives a run a fresh budget.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   the budget is fresh, from now or (a repeat) from before; a clear that is still to come is its first attempt
--   0   no record; nothing is changed

if not record then
  return 0
end
-- A clear that is still to come ends the generation of the record. So does the clear of a blocked run, if it may be tried
-- again. With any other status, the next failure belongs to a later generation.
local to_come = record.status == 'waiting' or record.status == 'claimed'
  or (record.status == 'blocked' and record.due_at ~= '0')
-- As after a clear by hand: later than the generation that our last clear began, or that a holder is about to begin. Else
-- the line of that clear in Airflow's audit log would say that Redis had forgotten attempts.
local cleared = record.status == 'retrying' or record.status == 'claimed'
local base = numeral(tonumber(record.generation) + (cleared and 2 or 1))
if record.status == 'unclaimed' then
  -- Nobody knows the generation of an unclaimed failure. The budget begins with the generation of the next claim.
  base = '-1'
end
local attempt = to_come and '1' or '0'
if record.base ~= base or record.attempt ~= attempt then
  save('reset', {'base', base, 'attempt', attempt, 'budget_at', numeral(now)})
end
return 1
