-- quarantine: puts a run aside whose record can't be read. The run needs a human, and a sweeper looks again later.
--
-- KEYS:
--   [1] active_key      ZSET  {<ns>}:v1:active
--   [2] attention_key   ZSET  {<ns>}:v1:attention
--
-- ARGV:
--   [1] member   <dag_id>:<run_id>
--   [2] pause    ms; when to look again
--   [3] ttl      ms; how long both indexes are kept
--
-- Returns:
--   1   the run is put aside

local active_key, attention_key = KEYS[1], KEYS[2]
local member = ARGV[1]
local pause = ARGV[2]
local ttl = ARGV[3]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

redis.call('ZADD', active_key, string.format('%.0f', now + pause), member)
redis.call('ZADD', attention_key, string.format('%.0f', now), member)
redis.call('PEXPIRE', active_key, ttl)
redis.call('PEXPIRE', attention_key, ttl)
return 1
