-- heartbeat: a sweeper says that it lives, and how it fares. It changes nothing if another sweeper lives that uses another
-- Airflow: the two would take each other's runs.
--
-- KEYS:
--   [1] sweeper_key   HASH  {<ns>}:v1:sweeper   what sweepers say of themselves; times in ms
--
-- ARGV:
--   [1] said   a JSON object of texts: holder, api ('' without credentials), fault and fault_text ('' while the way to
--              Airflow works), and, if there is news:
--                looked_since, looked_until   a look began there ('0': the first one) and came so far. This counts only if
--                                             no other look has come further, and no look_from came meanwhile
--                look_from                    ms; the next look begins there, or earlier
--                queued                       the runs that stay queued
--   [2] ttl    ms; how long the key is kept
--
-- Returns:
--   {}              said
--   {api, holder}   the other sweeper; nothing is changed

local sweeper_key = KEYS[1]
local said = cjson.decode(ARGV[1])
local ttl = ARGV[2]

-- In ms: a sweeper that has said nothing for so long is dead.
local ALIVE = 300000

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now_text = string.format('%.0f', now)

local known = {at = '0', api = '', looked_until = '0', fault_at = '0', queued = '[]'}
local flat = redis.call('HGETALL', sweeper_key)
for i = 1, #flat, 2 do
  known[flat[i]] = flat[i + 1]
end
local lives = now - (tonumber(known.at) or 0) < ALIVE
if said.api ~= '' and known.api ~= '' and said.api ~= known.api and lives then
  return {known.api, known.holder}
end
local fault_at = '0'
if said.fault ~= '' then
  fault_at = known.fault_at ~= '0' and known.fault_at or now_text
end
local looked_until = known.looked_until
local known_until = tonumber(looked_until) or 0 -- somebody else may have written what is no number
if said.look_from and tonumber(said.look_from) < known_until then
  looked_until = said.look_from
elseif said.looked_since and tonumber(said.looked_since) == known_until then
  looked_until = said.looked_until
end
redis.call('HSET', sweeper_key, 'at', now_text, 'holder', said.holder, 'api', said.api ~= '' and said.api or known.api,
  'looked_until', looked_until, 'fault', said.fault, 'fault_text', said.fault_text, 'fault_at',
  fault_at, 'queued', said.queued or known.queued)
redis.call('PEXPIRE', sweeper_key, ttl)
return {}
