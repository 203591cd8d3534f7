-- cancel: a person cancels the retry of a failure. The run stays failed until somebody clears it.
--
-- A callback that has just renewed its claim still clears the run. Then the next failure of the run begins a fresh
-- budget.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   skipped, now or (a repeat) before
--   0   no clear is to come; nothing is changed

if not record then
  return 0
end
if record.status == 'skipped' and record.reason == 'cancelled' then
  return 1
end
if record.status ~= 'waiting' and record.status ~= 'claimed' then
  return 0
end
-- Without its claim_id the same claim, asked again, gets no 'won'.
save('skipped', {'status', 'skipped', 'reason', 'cancelled', 'claim_id', '', 'due_at', '0'})
return 1
