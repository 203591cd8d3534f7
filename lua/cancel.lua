-- cancel: a person wants this failure not to be retried. The run stays failed until somebody clears it.
--
-- A callback that has renewed its claim and is about to clear may be past this. Then the clear goes on, and the next
-- failure of the run begins a fresh budget.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   skipped, now or (a repeat) before
--   0   there is no clear to come; nothing is changed

if not record then
  return 0
end
if record.status == 'skipped' and record.reason == 'cancelled' then
  return 1
end
if record.status ~= 'waiting' and record.status ~= 'claimed' then
  return 0
end
-- The claim_id goes: the same claim, asked again, must not be told that it won.
save('skipped', {'status', 'skipped', 'reason', 'cancelled', 'claim_id', '', 'due_at', '0'})
return 1
