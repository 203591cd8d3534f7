-- renew: a holder asks, right before the clear, whether the claim is still its own, and gets a new lease.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease     ms
--   claim_id
--
-- Returns:
--   1   still the holder of an unconfirmed claim; the lease begins anew
--   0   no longer: confirmed, blocked, taken over, or gone; clear nothing

if not record or record.claim_id ~= args.claim_id or record.status ~= 'claimed' then
  return 0
end
save(nil, {'due_at', numeral(now + args.lease)})
return 1
