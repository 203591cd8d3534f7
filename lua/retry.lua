-- retry: a person has cleared the run by the command line, or may have. The record stays as it is: the next failure has a
-- later generation.
--
-- KEYS, and what every verb takes: record.lua.
--
-- Returns:
--   1   the event is written, now or (a repeat) within the last 10 s
--   0   no record; nothing is changed

if not record then
  return 0
end
-- A client sends the script again if the answer is late.
local last = redis.call('XREVRANGE', events_key, '+', '-', 'COUNT', 1)[1]
if last and tonumber(string.match(last[1], '%d+')) > now - 10000 then
  local of = {}
  for i = 1, #last[2], 2 do
    of[last[2][i]] = last[2][i + 1]
  end
  if of.event == 'retried' and of.dag_id == dag_id and of.run_id == run_id and of.holder == args.holder then
    return 1
  end
end
emit('retried', setmetatable({reason = 'by_hand', level = ''}, {__index = record}))
return 1
