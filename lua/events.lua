-- events: reads a stretch of the events' stream, and returns the entries that are wanted. It changes nothing, and may be
-- called by EVALSHA_RO. An entry has 12 fields, so all 10,000 would be slow to send, and slower to parse.
--
-- KEYS:
--   [1] events_key   STREAM  {<ns>}:v1:events
--
-- ARGV:
--   [1] first     the id to begin at: '-' or '+', an id, or '(' and an id that is left out
--   [2] last      the id to end at, in the same forms
--   [3] order     'oldest' first (first <= last) or 'newest' first (first >= last)
--   [4] look_at   how many entries to look at, at most
--   [5] run_id    only entries of this run; '' for any
--   [6] dag_ids   only entries of these Dags: a JSON array of texts; '' for any
--   [7] once      '1' for the first entry of each run only, no entry of a callback that lost, and of an entry only
--                 dag_id and run_id; else '0'
--
-- Returns:
--   {found, looked_at, cursor}   the wanted entries, each {id, {field, value, ...}}; how many were looked at (if fewer
--                                than look_at, the stretch is over); and the id of the last of those, '' if there is none

local events_key = KEYS[1]
local first = ARGV[1]
local last = ARGV[2]
local order = ARGV[3]
local look_at = ARGV[4]
local run_id = ARGV[5]
local dag_ids = ARGV[6]
local once = ARGV[7]

local wanted = nil
if dag_ids ~= '' then
  wanted = {}
  for _, dag_id in ipairs(cjson.decode(dag_ids)) do
    wanted[dag_id] = true
  end
end

local command = order == 'oldest' and 'XRANGE' or 'XREVRANGE'
local entries = redis.call(command, events_key, first, last, 'COUNT', look_at)
local found, met = {}, {}
for _, entry in ipairs(entries) do
  local event = {}
  for i = 1, #entry[2], 2 do
    event[entry[2][i]] = entry[2][i + 1]
  end
  local run = (event.dag_id or '') .. ':' .. (event.run_id or '')
  local again = once == '1' and (met[run] or event.event == 'lost')
  if (run_id == '' or event.run_id == run_id) and (not wanted or wanted[event.dag_id]) and not again then
    met[run] = true
    found[#found + 1] = once == '1' and {entry[1], {'dag_id', event.dag_id or '', 'run_id', event.run_id or ''}} or entry
  end
end
local looked_at = #entries
local cursor = looked_at > 0 and entries[looked_at][1] or ''
return {found, looked_at, cursor}
