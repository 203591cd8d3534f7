-- acknowledge: records that the hooks were told of an ending (exhausted, blocked, skipped). So nobody tells it again.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   claim_id
--
-- Returns:
--   1   acknowledged, now or (a repeat) before
--   0   this claim has no such ending to tell; nothing is changed

if not record or record.claim_id ~= args.claim_id or (record.status ~= 'exhausted' and record.status ~= 'blocked'
    and record.status ~= 'skipped') then
  return 0
end
if record.due_at ~= '0' then
  save(nil, {'due_at', '0'})
end
return 1
