-- confirm: the run has been cleared for this claim; from here on only its next generation can be claimed.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] claim_id
--   [5] reason    of the event: 'cleared', or 'already_cleared' where somebody else had done it
--
-- Returns:
--   1   confirmed, now or (a repeat) before
--   0   not the holder any more; nothing is changed

local claim_id = ARGV[4]
local reason = ARGV[5]

if not record or record.claim_id ~= claim_id then
  return 0
end
if record.status == 'retrying' then
  return 1
end
if record.status ~= 'claimed' then
  return 0
end
-- The record keeps the reason of its claim, so that a claim asked again gets the same answer.
save('cleared', {status = 'retrying', due_at = '0'}, {reason = reason})
return 1
