-- renew: right before the clear, a holder asks whether it still holds its claim, and gets a new lease.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease     ms; the new lease
--   claim_id
--
-- Returns:
--   1   still the holder of an unconfirmed claim; the lease begins anew
--   0   the claim is confirmed, blocked, taken over or gone: clear nothing

if not record or record.claim_id ~= args.claim_id or record.status ~= 'claimed' then
  return 0
end
save(nil, {'due_at', numeral(now + args.lease)})
return 1
