-- hasten: a person wants a run that waits retried now, and not when its delay is over.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   due, now or (a repeat) before; the sweeper takes the run
--   0   the run does not wait; nothing is changed

if not record or record.status ~= 'waiting' then
  return 0
end
if tonumber(record.due_at) > now then
  save('hastened', {'due_at', numeral(now)})
end
return 1
