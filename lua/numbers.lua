-- numbers: returns all counts at once, for redis_exporter (--script=numbers.lua) and other tools that take only numbers.
-- It changes nothing, and may be called by EVAL_RO and EVALSHA_RO.
--
-- KEYS: none, since redis_exporter passes none. On a Cluster ask the node that holds {<ns>}.
--
-- ARGV:
--   [1] namespace   the namespace; 'dag-retry' if not given
--
-- Returns:
--   {name, number, ...}   numbers as numerals: active, attention, overdue, overdue_seconds (of the run that is due
--                         longest), events (how many the stream holds), and event_<event> (how often each happened)

local namespace = ARGV[1] or 'dag-retry'

local function key(name)
  return '{' .. namespace .. '}:v1:' .. name
end

local numbers = {}
local function add(name, number)
  numbers[#numbers + 1] = name
  numbers[#numbers + 1] = string.format('%.0f', tonumber(number) or 0)
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

for _, name in ipairs({'active', 'attention'}) do
  add(name, redis.call('ZCARD', key(name)))
end
local until_now = string.format('%.0f', now)
local longest = redis.call('ZRANGEBYSCORE', key('active'), '-inf', until_now, 'WITHSCORES', 'LIMIT', 0, 1)
add('overdue', redis.call('ZCOUNT', key('active'), '-inf', until_now))
add('overdue_seconds', longest[2] and math.floor((now - tonumber(longest[2])) / 1000) or 0)
add('events', redis.call('XLEN', key('events')))
local stats = redis.call('HGETALL', key('stats'))
for i = 1, #stats, 2 do
  add('event_' .. stats[i], stats[i + 1])
end
return numbers
