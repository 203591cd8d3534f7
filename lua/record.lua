-- record: reads and changes the record of one run, its indexes, its events and its counters. This file is no verb. It is
-- put before each verb, so that all verbs read and write schema v1 in one way.
--
-- KEYS, the same for every verb, under one hash tag:
--   [1] run_key        HASH    {<ns>}:v1:run:<dag_id>:<run_id>   the record; numbers as numerals, times in ms
--   [2] active_key     ZSET    {<ns>}:v1:active      <dag_id>:<run_id> -> when somebody must look at the run (ms)
--   [3] attention_key  ZSET    {<ns>}:v1:attention   <dag_id>:<run_id> -> last change (ms), of runs that need a human
--   [4] events_key     STREAM  {<ns>}:v1:events      one entry per event; about the newest 10,000
--   [5] stats_key      HASH    {<ns>}:v1:stats       event -> how often, all Dags
--   [6] dag_stats_key  HASH    {<ns>}:v1:stats:<dag_id>   event -> how often, this Dag
--   [7] born_key       HASH    {<ns>}:v1:born        since when this namespace remembers, and on which server
--
-- ARGV[1] is one JSON object of texts, numbers as numerals. An argument with a default may be left out. Every verb takes:
--   dag_id
--   run_id
--   ttl       ms; how long the record is kept after its last change
--   holder    who asks: host and process, or a person; the events show it

local run_key, active_key, attention_key, events_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stats_key, dag_stats_key, born_key = KEYS[5], KEYS[6], KEYS[7]
local args = cjson.decode(ARGV[1])
local dag_id, run_id, ttl = args.dag_id, args.run_id, args.ttl

-- About so many events are kept. So many callbacks of a generation that lost have an event of their own.
local KEPT_EVENTS, LOST_EVENTS = '10000', 3

-- Lua would turn a large number into '1.76e+12'.
local function numeral(number)
  return string.format('%.0f', number)
end

-- The keys that runs share outlive every record: 30 days, or a longer ttl.
local shared_ttl = math.max(ttl, 2592000000)
local shared_ttl_text = numeral(shared_ttl)

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local member = dag_id .. ':' .. run_id

local record = nil
local flat = redis.call('HGETALL', run_key)
for i = 1, #flat, 2 do
  record = record or {}
  record[flat[i]] = flat[i + 1]
end

-- Returns the server's replication id, or '' if this user may not call INFO. A restart or a failover changes the id
-- (redis.io/docs/latest/operate/oss_and_stack/management/replication).
local function replication_id()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or ''
end

-- Records that this namespace remembers from now on, on this server.
local function be_born()
  redis.call('HSET', born_key, 'at', numeral(now), 'replication_id', replication_id())
  redis.call('PEXPIRE', born_key, shared_ttl_text)
end

-- Renews the TTLs of the keys that runs share, and drops runs from the indexes whose records are gone.
local function tidy()
  for _, key in ipairs({active_key, attention_key, events_key, stats_key, dag_stats_key, born_key}) do
    redis.call('PEXPIRE', key, shared_ttl_text)
  end
  for _, key in ipairs({active_key, attention_key}) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', numeral(now - shared_ttl))
  end
  if redis.call('EXISTS', born_key) == 0 then
    be_born()
  end
end

-- Counts an event. If its fields are given, appends the event to the stream: every event has the same fields. For each
-- Dag, tidies the shared keys once a minute, and at the first event of a kind. If a write fails, every key that was made
-- before has its TTL.
local function emit(event, of)
  if redis.call('HINCRBY', stats_key, event, '1') == 1 then
    redis.call('PEXPIRE', stats_key, shared_ttl_text)
  end
  local first = redis.call('HINCRBY', dag_stats_key, event, '1') == 1
  if first then
    redis.call('PEXPIRE', dag_stats_key, shared_ttl_text)
  end
  if of then
    redis.call('XADD', events_key, 'MAXLEN', '~', KEPT_EVENTS, '*', 'event', event, 'dag_id', dag_id, 'run_id', run_id,
      'generation', of.generation, 'attempt', of.attempt, 'max_attempts', of.max_attempts, 'reason', of.reason,
      'level', of.level, 'holder', args.holder, 'task_id', of.task_id, 'map_index', of.map_index, 'error', of.error)
  end
  if first or redis.call('PTTL', dag_stats_key) < shared_ttl - 60000 then
    tidy()
  end
end

-- Puts the run into an index, or takes it out if there is no score. Redis deletes an empty index, and its TTL with it. So
-- each run that is added renews the TTL.
local function index(key, score)
  if not score then
    redis.call('ZREM', key, member)
  elseif redis.call('ZADD', key, score, member) == 1 then
    redis.call('PEXPIRE', key, shared_ttl_text)
  end
end

local ATTENTION = {exhausted = true, blocked = true, skipped = true, unclaimed = true}
-- With these reasons of 'skipped' no human is needed: a person has decided, or the run succeeded.
local SETTLED = {settled_by_hand = true, run_succeeded = true}

-- Returns whether the run needs a human. A run of generation '-1' was cancelled before it failed.
local function needs_human()
  return ATTENTION[record.status] and not SETTLED[record.reason] and record.generation ~= '-1'
end

-- Returns whether a holder at this level has the hooks. Where the Dag has hooks of its own, a sweeper has not.
local function has_hooks(level, flags)
  return level ~= 'sweeper' or not string.find(',' .. (flags or '') .. ',', ',own_hooks,', 1, true)
end

local TOLD = {exhausted = true, blocked = true, skipped = true}

-- Returns whether the run has an ending of which its hooks were not told, and no sweeper has these hooks.
local function awaits_own_hooks()
  return TOLD[record.status] and record.due_at ~= '0' and not has_hooks('sweeper', record.flags)
end

-- Returns when somebody must look at the run: at due_at, or when Redis will forget the record (after `left` ms), while the
-- run is retrying or awaits the Dag's own hooks. Returns nil for a run that has ended, and whose hooks were told.
local function look_at(left)
  local awaits = awaits_own_hooks()
  if record.due_at ~= '0' and not awaits then
    return record.due_at
  end
  return (awaits or record.status == 'retrying') and numeral(now + left) or nil
end

-- Changes fields of the record, given as {field, value, ...}, and emits an event, if one is given. The event has the
-- record's fields, except those in `but`. The record is written last: if an earlier write fails (a key of the wrong type,
-- full memory), nothing is claimed.
local function save(event, change, but)
  record = record or {}
  local was_active, needed_attention = record.status and look_at(ttl), needs_human()
  local generation, budget_at = record.generation, record.budget_at
  change[#change + 1], change[#change + 2] = 'updated_at', numeral(now)
  for i = 1, #change, 2 do
    record[change[i]] = change[i + 1]
  end
  -- The faults are those of one claim: they end with the claim. No other claim begins with them.
  local same = record.due_at ~= '0' and record.generation == generation and record.budget_at == budget_at
  if (record.faults or '0') ~= '0' and not same then
    record.faults = '0'
    change[#change + 1], change[#change + 2] = 'faults', '0'
  end
  if event then
    emit(event, but and setmetatable(but, {__index = record}) or record)
  end
  local active, attention = look_at(ttl), needs_human()
  if active or was_active then
    index(active_key, active)
  end
  if attention or needed_attention then
    index(attention_key, attention and record.updated_at)
  end
  redis.call('HSET', run_key, unpack(change))
  redis.call('PEXPIRE', run_key, ttl)
end

-- Deletes the record, and emits an event.
local function forget(event)
  emit(event, setmetatable({reason = event}, {__index = record}))
  index(active_key, nil)
  index(attention_key, nil)
  -- Redis deletes what has no time to live, and needs no right to DEL for that.
  redis.call('PEXPIRE', run_key, '0')
end

-- Gives a run that is due, or whose holder is dead, to another holder. Returns the verdict of that holder's claim: 'won'
-- if the run is to be cleared, else the ending that the hooks were not told of. A blocked run is to be cleared once more.
local function take_over(level)
  local due_at = numeral(now + args.lease)
  if record.status == 'exhausted' or record.status == 'skipped' then
    save('taken_over', {'claim_id', args.claim_id, 'level', level, 'due_at', due_at})
    return record.status
  end
  local waited = record.status == 'waiting'
  save(not waited and 'taken_over' or nil, {'status', 'claimed', 'reason', waited and 'due' or 'taken_over',
    'claim_id', args.claim_id, 'level', level, 'due_at', due_at})
  return 'won'
end
