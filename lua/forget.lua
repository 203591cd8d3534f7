-- forget: the run was deleted, so its record is too.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   claim_id
--
-- Returns:
--   1   there is no record, from now or (a repeat) from before
--   0   this claim does not hold the run any more; nothing is changed

if not record then
  return 1
end
if record.claim_id ~= args.claim_id or record.status ~= 'claimed' then
  return 0
end
forget('gone')
return 1
