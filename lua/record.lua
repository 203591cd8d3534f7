-- The record of one run, and what goes with every change of it. Not a verb: this text stands before
-- each verb, so that all of them read and write schema v1 in one way.
--
-- KEYS, the same for every verb, under one hash tag:
--   [1] run_key        HASH    {<ns>}:v1:run:<dag_id>:<run_id>   the record; numbers as numerals, times in ms
--   [2] due_key        ZSET    {<ns>}:v1:due         <dag_id>:<run_id> -> when to look at it (ms)
--   [3] active_key     ZSET    {<ns>}:v1:active      retrying now -> last change (ms)
--   [4] attention_key  ZSET    {<ns>}:v1:attention   needs a human -> last change (ms)
--   [5] recent_key     ZSET    {<ns>}:v1:recent      every run -> last change (ms); the newest 10,000
--   [6] events_key     STREAM  {<ns>}:v1:events      one entry per event; about the newest 10,000
--   [7] stats_key      HASH    {<ns>}:v1:stats       event -> how often, all Dags
--   [8] dag_stats_key  HASH    {<ns>}:v1:stats:<dag_id>   event -> how often, this Dag
--
-- ARGV, the first three of every verb:
--   [1] dag_id
--   [2] run_id
--   [3] ttl            ms; the record's TTL, renewed by every write
--
-- Returns, before the verb is reached:
--   error DAGRETRYSCHEMA   the record was written by another schema; nothing is changed

local run_key, due_key, active_key, attention_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local recent_key, events_key, stats_key, dag_stats_key = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local dag_id = ARGV[1]
local run_id = ARGV[2]
local ttl = tonumber(ARGV[3])

local SCHEMA = '1'
local KEEP = 10000
-- The keys that runs share outlive any short TTL a single Dag asks for its own records: 30 days.
local shared_ttl = math.max(ttl, 2592000000)

-- A Lua number turns into '1.76e+12' by itself; Redis shows numerals.
local function numeral(number)
  return string.format('%.0f', number)
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local record = nil
local flat = redis.call('HGETALL', run_key)
for i = 1, #flat, 2 do
  record = record or {}
  record[flat[i]] = flat[i + 1]
end
if record and record.schema ~= SCHEMA then
  return redis.error_reply('DAGRETRYSCHEMA the record has schema "' .. tostring(record.schema)
    .. '", this version of dag_retry knows "' .. SCHEMA .. '"')
end

-- Puts the run into an index, or takes it out, and drops what lies there for longer than any record lives.
local function index(key, wanted, score)
  local member = dag_id .. ':' .. run_id
  if wanted then
    redis.call('ZADD', key, score, member)
    redis.call('PEXPIRE', key, numeral(shared_ttl))
  else
    redis.call('ZREM', key, member)
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', numeral(now - shared_ttl))
end

-- Counts an event and appends it to the stream, with the same fields whatever the event.
local function emit(event, of)
  for _, key in ipairs({stats_key, dag_stats_key}) do
    redis.call('HINCRBY', key, event, 1)
    redis.call('PEXPIRE', key, numeral(shared_ttl))
  end
  redis.call('XADD', events_key, 'MAXLEN', '~', KEEP, '*', 'event', event, 'dag_id', dag_id, 'run_id', run_id,
    'generation', of.generation, 'attempt', of.attempt, 'max_attempts', of.max_attempts, 'reason', of.reason,
    'level', of.level, 'holder', of.holder, 'task_id', of.task_id, 'map_index', of.map_index, 'error', of.error)
  redis.call('PEXPIRE', events_key, numeral(shared_ttl))
end

-- Changes the record, and emits an event (unless nil) with the record's fields but for those given. The hash is
-- written last of all: where a write before it fails (a key of the wrong type, memory full), nothing is claimed.
local function save(event, change, but)
  record = record or {created_at = numeral(now)}
  for field, value in pairs(change) do
    record[field] = value
  end
  record.schema = SCHEMA
  record.updated_at = numeral(now)
  if event then
    emit(event, setmetatable(but or {}, {__index = record}))
  end

  local status = record.status
  index(due_key, record.due_at ~= '0', record.due_at)
  index(active_key, status == 'claimed' or status == 'retrying', record.updated_at)
  index(attention_key, status == 'exhausted' or status == 'blocked', record.updated_at)
  index(recent_key, true, record.updated_at)
  redis.call('ZREMRANGEBYRANK', recent_key, 0, -KEEP - 1)

  local fields = {}
  for field, value in pairs(record) do
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  redis.call('HSET', run_key, unpack(fields))
  redis.call('PEXPIRE', run_key, numeral(ttl))
end
