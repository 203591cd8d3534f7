-- statuses: reads the status of many runs. It changes nothing, and may be called by EVALSHA_RO. Ten thousand commands
-- would be slow to send.
--
-- KEYS:
--   [1], [2], ...   HASH  {<ns>}:v1:run:<dag_id>:<run_id>
--
-- Returns:
--   {status, reason, ...}   in the order of the keys; the status is '' if there is no record, or the key holds something
--                           else; the reason is '' but for 'skipped'

local statuses = {}
for place, key in ipairs(KEYS) do
  local status = redis.pcall('HGET', key, 'status')
  if type(status) == 'table' and not string.find(tostring(status.err), 'WRONGTYPE', 1, true) then
    -- An error, such as that the user may not call HGET.
    return status
  end
  statuses[2 * place - 1] = type(status) == 'string' and status or ''
  statuses[2 * place] = status == 'skipped' and redis.call('HGET', key, 'reason') or ''
end
return statuses
