-- postpone: a holder can't finish its claim now, and gives the claim back. A sweeper takes the run later.
--
-- The attempt stays counted, and no hook is told. A run may be postponed again and again. Only the first time has an event
-- of its own. An ending whose hooks can't be told stays the ending that it is, and is told later. An ending that awaits the
-- Dag's own hooks is not put off: a callback of the Dag may tell them at any time.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   claim_id
--   reason    why, as a code: 'dag_paused', 'needs_sweeper', 'http_503', ...
--   pause     ms; when to take the run
--   longest   ms; the pause doubles each time, up to this one. Default: the pause does not grow
--
-- Returns:
--   1   the run is taken later, from now or (a repeat) from before
--   0   this claim does not hold the run any more, or the ending awaits the Dag's own hooks; nothing is changed

if not record or record.claim_id ~= args.claim_id then
  return 0
end
if record.status == 'waiting' and record.reason == args.reason then
  return 1
end
local pause = tonumber(args.pause)
local change = {'status', 'waiting', 'reason', args.reason}
if TOLD[record.status] and record.due_at ~= '0' and not awaits_own_hooks() then
  change = {}
elseif record.status ~= 'claimed' then
  return 0
end
if args.longest then
  local faults = tonumber(record.faults) or 0
  pause = math.min(tonumber(args.longest), pause * 2 ^ faults)
  change[#change + 1], change[#change + 2] = 'faults', numeral(faults + 1)
end
change[#change + 1], change[#change + 2] = 'due_at', numeral(now + pause)
local again = record.reason == 'due' or record.status ~= 'claimed'
if again then
  emit('postponed')
end
save(not again and 'postponed' or nil, change)
return 1
