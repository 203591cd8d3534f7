-- postpone: a holder can't clear the run now, and gives the claim back. The run waits, and a sweeper takes it later.
--
-- The attempt stays counted, and no hook is told. A run may be postponed again and again. Only the first time has an event
-- of its own.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   claim_id
--   reason    why, as a code: 'dag_paused', 'needs_sweeper', ...
--   pause     ms; when to take the run
--
-- Returns:
--   1   the run waits, from now or (a repeat) from before
--   0   this claim does not hold the run any more; nothing is changed

if not record or record.claim_id ~= args.claim_id then
  return 0
end
if record.status == 'waiting' and record.reason == args.reason then
  return 1
end
if record.status ~= 'claimed' then
  return 0
end
local again = record.reason == 'due'
if again then
  emit('postponed')
end
save(not again and 'postponed' or nil, {'status', 'waiting', 'reason', args.reason, 'due_at', numeral(now + args.pause)})
return 1
