-- rights: finds out whether this user may call each command of the verbs, and whether Redis takes writes. It calls each
-- command on keys of its own, which are gone a ms later.
--
-- KEYS:
--   [1] hash_key
--   [2] zset_key
--   [3] stream_key
--
-- Returns:
--   {refusal, ...}   '<command>: <error>' for each command that was refused

local hash_key, zset_key, stream_key = KEYS[1], KEYS[2], KEYS[3]

local refused = {}
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  local failed = type(answer) == 'table' and answer.err
  if failed then
    refused[#refused + 1] = command .. ': ' .. answer.err
  end
  return not failed
end

-- This changes nothing, and must be the first command: Redis checks its memory only before a script's first write.
try('ZADD', zset_key, 'XX', 1, 'member')
-- Without the right to PEXPIRE the keys would stay.
if not try('PEXPIRE', hash_key, 1) then
  return refused
end
try('TIME')
try('HGETALL', hash_key)
try('HMGET', hash_key, 'field')
try('EXISTS', hash_key)
try('PTTL', hash_key)
try('HSET', hash_key, 'field', '1')
try('HINCRBY', hash_key, 'field', 1)
try('ZADD', zset_key, 1, 'member')
try('ZRANGEBYSCORE', zset_key, 1, 1)
try('ZREM', zset_key, 'member')
try('ZREMRANGEBYSCORE', zset_key, 1, 1)
try('XADD', stream_key, 'MAXLEN', '~', 1, '*', 'field', '1')
try('XREVRANGE', stream_key, '+', '-', 'COUNT', 1)
for _, key in ipairs({hash_key, zset_key, stream_key}) do
  redis.call('PEXPIRE', key, 1)
end
return refused
