-- acknowledge: the hooks of an ending (exhausted, blocked, skipped) ran; nobody else need tell it.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] claim_id
--
-- Returns:
--   1   acknowledged, now or (a repeat) before
--   0   this claim is not the one that tells the ending; nothing is changed

local claim_id = ARGV[4]

if not record or record.claim_id ~= claim_id or (record.status ~= 'exhausted' and record.status ~= 'blocked'
    and record.status ~= 'skipped') then
  return 0
end
if record.acknowledged == '0' then
  save(nil, {acknowledged = '1', due_at = '0'})
end
return 1
