-- retry: a person is about to clear the run by the command line. The record stays as it is: Airflow clears the run, and
-- the next failure has a later generation.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   the event is written
--   0   no record; nothing is changed

if not record then
  return 0
end
emit('retried', setmetatable({reason = 'by_hand', level = ''}, {__index = record}))
return 1
