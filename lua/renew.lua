-- renew: a holder that does not come straight from its own claim asks whether it still is the holder,
-- and gets a new lease.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4] lease     ms
--   [5] claim_id
--
-- Returns:
--   1   still the holder of an unconfirmed claim; the lease runs anew
--   0   no longer: confirmed, blocked, taken over, or gone; stop

local lease = tonumber(ARGV[4])
local claim_id = ARGV[5]

if not record or record.claim_id ~= claim_id or record.status ~= 'claimed' then
  return 0
end
save(nil, {due_at = numeral(now + lease)})
return 1
