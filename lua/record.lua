-- The record of one run, and what goes with every change of it. Not a verb: this text stands before
-- each verb, so that all of them read and write schema v1 in one way.
--
-- KEYS, the same for every verb, under one hash tag:
--   [1] run_key        HASH    {<ns>}:v1:run:<dag_id>:<run_id>   the record; numbers as numerals, times in ms
--   [2] due_key        ZSET    {<ns>}:v1:due         <dag_id>:<run_id> -> when to look at it (ms)
--   [3] active_key     ZSET    {<ns>}:v1:active      waiting, claimed or retrying -> last change (ms)
--   [4] attention_key  ZSET    {<ns>}:v1:attention   exhausted, blocked, skipped or unclaimed -> last change (ms)
--   [5] recent_key     ZSET    {<ns>}:v1:recent      every run -> last change (ms); the newest 10,000
--   [6] events_key     STREAM  {<ns>}:v1:events      one entry per event; about the newest 10,000
--   [7] stats_key      HASH    {<ns>}:v1:stats       event -> how often, all Dags
--   [8] dag_stats_key  HASH    {<ns>}:v1:stats:<dag_id>   event -> how often, this Dag
--
-- ARGV, the first three of every verb (all come as one argument, a JSON array of strings, since redis-py takes 2 µs for
-- each argument of its own):
--   [1] dag_id
--   [2] run_id
--   [3] ttl            ms; the record's TTL, renewed by every write
--
-- Returns, before the verb is reached:
--   error DAGRETRYSCHEMA   the record was written by another schema; nothing is changed

local ARGV = cjson.decode(ARGV[1])

local run_key, due_key, active_key, attention_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local recent_key, events_key, stats_key, dag_stats_key = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local dag_id = ARGV[1]
local run_id = ARGV[2]
local ttl = ARGV[3]

local SCHEMA = '1'
local KEEP = '10000'
-- The keys that runs share outlive any short TTL a single Dag asks for its own records: 30 days.
local shared_ttl = math.max(ttl, 2592000000)

-- A Lua number turns into '1.76e+12' by itself; Redis shows numerals. What is given to Redis as text costs it less, too.
local function numeral(number)
  return string.format('%.0f', number)
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local member = dag_id .. ':' .. run_id
local shared_ttl_text = numeral(shared_ttl)

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

-- Puts the run into an index, or (without a score) takes it out.
local function index(key, score)
  if score then
    redis.call('ZADD', key, score, member)
    redis.call('PEXPIRE', key, shared_ttl_text)
  else
    redis.call('ZREM', key, member)
  end
end

-- Once a minute drops from the indices what lies there for longer than any record lives. The counters' TTL, which is
-- renewed then, tells when that was.
local function tidy()
  if redis.call('PTTL', stats_key) > shared_ttl - 60000 then
    return
  end
  redis.call('PEXPIRE', stats_key, shared_ttl_text)
  for _, key in ipairs({due_key, active_key, attention_key, recent_key}) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', numeral(now - shared_ttl))
  end
end

-- Counts an event and appends it to the stream, with the same fields whatever the event.
local function emit(event, of)
  redis.call('HINCRBY', stats_key, event, '1')
  tidy()
  redis.call('HINCRBY', dag_stats_key, event, '1')
  redis.call('PEXPIRE', dag_stats_key, shared_ttl_text)
  redis.call('XADD', events_key, 'MAXLEN', '~', KEEP, '*', 'event', event, 'dag_id', dag_id, 'run_id', run_id,
    'generation', of.generation, 'attempt', of.attempt, 'max_attempts', of.max_attempts, 'reason', of.reason,
    'level', of.level, 'holder', of.holder, 'task_id', of.task_id, 'map_index', of.map_index, 'error', of.error)
  redis.call('PEXPIRE', events_key, shared_ttl_text)
end

-- Changes the record, and emits an event (unless nil) with the record's fields but for those given. The hash is
-- written last of all: where a write before it fails (a key of the wrong type, memory full), nothing is claimed.
local function save(event, change, but)
  change.updated_at = numeral(now)
  if not record then
    change.schema, change.created_at = SCHEMA, change.updated_at
    record = change
  end
  local fields, count = {}, 0
  for field, value in pairs(change) do
    record[field] = value
    fields[count + 1], fields[count + 2] = field, value
    count = count + 2
  end
  if event then
    emit(event, but and setmetatable(but, {__index = record}) or record)
  end

  local status, updated_at = record.status, record.updated_at
  index(due_key, record.due_at ~= '0' and record.due_at)
  index(active_key, (status == 'waiting' or status == 'claimed' or status == 'retrying') and updated_at)
  index(attention_key, (status == 'exhausted' or status == 'blocked' or status == 'skipped' or status == 'unclaimed')
    and updated_at)
  index(recent_key, updated_at)
  redis.call('ZREMRANGEBYRANK', recent_key, '0', -KEEP - 1)

  redis.call('HSET', run_key, unpack(fields))
  redis.call('PEXPIRE', run_key, ttl)
end

-- Hands what is due, or whose holder is dead, to another holder, and returns the verdict of its claim: 'won' where the
-- run is to be cleared, else the ending that nobody was told of. A blocked run is tried once more.
local function take_over(claim_id, holder, level, lease)
  local change = {claim_id = claim_id, holder = holder, level = level, due_at = numeral(now + lease)}
  if record.status == 'exhausted' or record.status == 'skipped' then
    save('taken_over', change)
    return record.status
  end
  local waited = record.status == 'waiting'
  change.status = 'claimed'
  change.reason = waited and 'due' or 'taken_over'
  save(not waited and 'taken_over' or nil, change)
  return 'won'
end
