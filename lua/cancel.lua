-- cancel: a person wants this failure not to be retried: the run stays failed, until somebody clears it.
--
-- A callback that is about to clear it may be past its last look; then the clear goes on, and the next failure of the
-- run begins a fresh budget.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] holder    who asks, for the reader
--
-- Returns:
--   1   skipped, now or (a repeat) before
--   0   there is no clear to come; nothing is changed

local holder = ARGV[4]

if not record then
  return 0
end
if record.status == 'skipped' and record.reason == 'cancelled' then
  return 1
end
if record.status ~= 'waiting' and record.status ~= 'claimed' then
  return 0
end
-- Without its claim_id: the claim asked again must not be told that it won.
save('skipped', {status = 'skipped', reason = 'cancelled', claim_id = '', holder = holder, acknowledged = '1',
  due_at = '0'})
return 1
