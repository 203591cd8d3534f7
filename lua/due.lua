-- due: reads the runs that are due, the longest waiting first, and when the next run will be due. It changes nothing.
--
-- KEYS:
--   [1] active_key   ZSET  {<ns>}:v1:active   <dag_id>:<run_id> -> when somebody must look at the run (ms)
--
-- ARGV:
--   [1] most      how many runs at most
--
-- Returns:
--   {wait, member, ...}   ms until the next run will be due ('' if there is none), and the runs that are due now

local active_key = KEYS[1]
local most = ARGV[1]

local clock = redis.call('TIME')
local now = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000))

local due = redis.call('ZRANGEBYSCORE', active_key, '-inf', now, 'LIMIT', 0, most)
local next_due = redis.call('ZRANGEBYSCORE', active_key, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local wait = next_due[2] and string.format('%.0f', next_due[2] - now) or ''
return {wait, unpack(due)}
