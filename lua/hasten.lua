-- hasten: a person wants a run that waits retried now, and not when its delay is over.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] holder    who asks, for the reader
--
-- Returns:
--   1   due, now or (a repeat) before; the sweeper takes it
--   0   it does not wait; nothing is changed

local holder = ARGV[4]

if not record or record.status ~= 'waiting' then
  return 0
end
if tonumber(record.due_at) > now then
  save('hastened', {due_at = numeral(now)}, {holder = holder})
end
return 1
