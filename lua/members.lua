-- members: reads a stretch of an index, and returns the runs that are wanted. It changes nothing, and may be called by
-- EVALSHA_RO. An index may hold very many runs that are not wanted: to send and parse them all would be slow.
--
-- KEYS:
--   [1] index_key   ZSET  {<ns>}:v1:active or attention
--
-- ARGV:
--   [1] low        the lowest score, or '-inf'
--   [2] high       the highest score, or '+inf'
--   [3] order      'lowest' or 'highest' score first
--   [4] offset     how many runs of the stretch to leave out
--   [5] look_at    how many runs to look at, at most
--   [6] want       how many runs to return, at most
--   [7] dag_ids    only runs of these Dags: a JSON array of texts; '' for any
--
-- Returns:
--   {found, looked_at, over}   the wanted runs, as {place, member, ...}, with places from the start of the stretch; how
--                              many were looked at; and 1 if the stretch is over, else 0

local index_key = KEYS[1]
local low = ARGV[1]
local high = ARGV[2]
local order = ARGV[3]
local offset = tonumber(ARGV[4])
local look_at = tonumber(ARGV[5])
local want = tonumber(ARGV[6])
local dag_ids = ARGV[7]

local wanted = nil
if dag_ids ~= '' then
  wanted = {}
  for _, dag_id in ipairs(cjson.decode(dag_ids)) do
    wanted[dag_id] = true
  end
end

-- Redis finds a rank quickly. To leave out the first runs of a range of scores, it would step over each of them.
local reverse = order == 'highest'
local first = redis.call('ZCOUNT', index_key, reverse and '(' .. high or '-inf', reverse and '+inf' or '(' .. low)
local last = first + redis.call('ZCOUNT', index_key, low, high) - 1
local stop = math.min(last, first + offset + look_at - 1)
local rank = first + offset
local found, left = {}, want
while rank <= stop and left > 0 do
  local until_rank = math.min(stop, rank + 999)
  local members
  if reverse then
    members = redis.call('ZRANGE', index_key, rank, until_rank, 'REV')
  else
    members = redis.call('ZRANGE', index_key, rank, until_rank)
  end
  for _, member in ipairs(members) do
    if left > 0 then
      if not wanted or wanted[string.sub(member, 1, (string.find(member, ':', 1, true) or 0) - 1)] then
        found[#found + 1] = rank - first
        found[#found + 1] = member
        left = left - 1
      end
      rank = rank + 1
    end
  end
end
return {found, rank - first - offset, rank > last and 1 or 0}
