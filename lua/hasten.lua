-- hasten: a person makes a run due that waits for its delay. A sweeper takes the run.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   due, from now or (a repeat) from before
--   0   the run does not wait; nothing is changed

if not record or record.status ~= 'waiting' then
  return 0
end
if tonumber(record.due_at) > now then
  save('hastened', {'due_at', numeral(now)})
end
return 1
