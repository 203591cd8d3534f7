-- cancel: a person cancels the retry of a failure. The run stays failed until somebody clears it.
--
-- The failure may be still to come: of a run that is on an attempt, or that never failed. A callback that has just renewed
-- its claim still clears the run. Then the next failure of the run begins a fresh budget.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   skipped, now or (a repeat) before
--   0   the budget has ended, and no clear is to come; nothing is changed

if not record then
  -- Nobody knows the generation of the run. The next failure, of whichever generation, loses its claim.
  save('skipped', {'status', 'skipped', 'reason', 'cancelled', 'attempt', '0', 'max_attempts', '0', 'generation', '-1',
    'base', '0', 'lost', '0', 'claim_id', '', 'level', '', 'task_id', '', 'map_index', '-1', 'ti_id', '', 'error', '',
    'flags', '', 'run_started', '0', 'budget_at', numeral(now), 'due_at', '0'})
  return 1
end
if record.status == 'skipped' and record.reason == 'cancelled' then
  return 1
end
-- Without its claim_id the same claim, asked again, gets no 'won'.
local change = {'status', 'skipped', 'reason', 'cancelled', 'claim_id', '', 'due_at', '0'}
if record.status == 'retrying' then
  change = {'status', 'skipped', 'reason', 'cancelled', 'claim_id', '', 'run_started', '0', 'generation',
    numeral(record.generation + 1)} -- rule: a cancel counts for the attempt under way
elseif record.status ~= 'waiting' and record.status ~= 'claimed' then
  return 0
end
save('skipped', change)
return 1
