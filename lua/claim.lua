-- claim: a callback asks to be the one that retries the run in this generation.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease              ms; if the winner does not confirm within this time, another holder finishes the claim
--   claim_id           a repeat with the same id gets the same answer and, unless it lost, counts once
--   generation         dag_run.clear_number of the failure
--   max_attempts       the cap of a budget, 1 or more
--   level              'task', 'dag' or 'sweeper'
--   task_id            the failed try, kept with the claim for the holder that finishes it
--   map_index
--   ti_id
--   error              the exception's type, '' where unknown
--   flags              kept with the claim, with commas between them: how to clear the run, and own_hooks if the Dag has
--                      hooks of its own, which no sweeper has
--   takeover           '1' if every task of the run has ended, so that a holder at the task level is dead, and this
--                      failed try is the last word. Default: a holder may be alive
--   on_missing_record  what counts if the run has no record: as many attempts as another counter holds, or
--                      'start_fresh' for no clear. Default: every clear
--   run_started        ms; when the run began. It tells a run that was deleted and made anew. Default: unknown
--   run_after          ms; the run can't have failed earlier. If this namespace has remembered everything since then, a
--                      run without a record never failed, and no clear counts. Default: unknown
--   on_manual_clear    'keep' if a clear by hand after an ending goes on with the budget. Default: it begins a new one
--   skip               why this failure is not retried, as a code. Default: the failure is retried
--   leave              '1' if an ending is left to a Dag-level callback, which tells the hooks once the run has failed. The
--                      lease is how long nobody else tells them. Default: the caller tells them
--   max_elapsed        ms after the first failure of the budget; no attempt begins later. Default: no limit
--   delays             an array of ms before each attempt; the last holds for all later attempts. Default: none
--
-- Returns one JSON object with verdict, reason, attempt, max_attempts, base, task_id, map_index, ti_id, error, flags, status,
-- due_at. Numbers are numerals. The failed try and flags are those kept with the claim. Status is the record's, if the claim
-- was lost. due_at is when to clear the run (ms), '0' for at once. Verdict and reason:
--   'won'        'claimed'             clear the run, then confirm; if there is a due_at, a sweeper clears the run then
--   'won'        'fresh_budget'        the same, as the first attempt after a person cleared an ended run
--   'won'        'taken_over'          finish the claim of a dead holder: renew, clear, confirm
--   'won'        'due'                 finish a claim whose delay is over: renew, clear, confirm
--   'lost'       'stale'               a newer generation has been claimed since
--   'lost'       'already_<status>'    the generation is in hand: already_waiting, already_claimed, already_retrying,
--                                      already_succeeded, already_exhausted, already_blocked, already_skipped
--   'exhausted'  'max_attempts'        every attempt of the budget is used: tell the hooks, then acknowledge
--   'exhausted'  'generation'          the same, by Airflow's clear_number: the record knows fewer attempts, or is gone
--   'exhausted'  'max_elapsed'         the next attempt would begin too late: tell the hooks, then acknowledge
--   'skipped'    '<skip>'              the failure is not retried: tell the hooks, then acknowledge
-- An ending that was not acknowledged is told again: as 'exhausted' or 'skipped', or as 'won' 'taken_over' if blocked.
--
-- A comment 'rule: …' at the end of a line names the rule in that line. Without any one of them the simulation fails.

local claim_id = args.claim_id
local generation = tonumber(args.generation)
local max_attempts = tonumber(args.max_attempts)
local delays = args.delays or {}

local function answer(verdict, reason)
  return cjson.encode({verdict = verdict, reason = reason, attempt = record.attempt, max_attempts = record.max_attempts,
    base = record.base, task_id = record.task_id, map_index = record.map_index, ti_id = record.ti_id, error = record.error,
    flags = record.flags, status = verdict == 'lost' and record.status or nil,
    due_at = record.status == 'waiting' and record.due_at or '0'})
end

-- Counts a callback that lost in the record. Only the first few of a generation have an event of their own. Thousands of
-- mapped tasks may fail at once, and their events would push all others out of the stream.
local function lose(reason)
  local told = redis.call('HINCRBY', run_key, 'lost', '1') <= LOST_EVENTS
  emit('lost', told and {generation = args.generation, attempt = record.attempt, max_attempts = record.max_attempts,
    reason = reason, level = args.level, task_id = args.task_id, map_index = args.map_index, error = args.error})
  return answer('lost', reason)
end

-- Returns whether Redis has remembered all failures since the run could first fail. Three things must hold. The namespace
-- was born at least a minute before then, since clocks differ. The server has been the same since. No record of the run
-- can have outlived its TTL. After a failover to another server, the memory begins anew. A user who may not ask for the
-- server (INFO) changes nothing.
local function has_remembered()
  local born = redis.call('HMGET', born_key, 'at', 'replication_id')
  local server = replication_id()
  if server == '' then
    return false
  end
  if born[2] ~= server then
    be_born()
    return false
  end
  local run_after = tonumber(args.run_after)
  return tonumber(born[1]) + 60000 <= run_after and now < run_after + ttl
end

-- Returns whether the record is of a deleted run that had the same id. Then this run began later, and so did its failed
-- try. Its generation has not passed that of the record: a clear makes both younger too. The first 12 digits of a UUIDv7
-- are its time.
local function of_deleted_run()
  local began, known = tonumber(args.run_started) or 0, tonumber(record.run_started)
  return known > 0 and began > known -- rule: a run made anew began later
    and generation <= tonumber(record.generation) -- rule: a clear is no deletion
    and string.sub(args.ti_id, 1, 13) > string.sub(record.ti_id, 1, 13)
end

-- `known` is what Redis knows of this run. The record of a deleted run is written over.
local known = record
if record and of_deleted_run() then -- rule: a run made anew has no record
  known = nil
end

-- Rule 1: the same claim, asked again, gets the same answer.
if known and record.claim_id == claim_id then -- rule: same claim, same answer
  local ending = record.status == 'exhausted' or record.status == 'skipped'
  return answer(ending and record.status or 'won', record.reason)
end

-- Rule 2: a failure of an older generation is stale. In the same generation another claim stands. This one may take it
-- over if its holder is dead, or if it is due. Nobody holds an unclaimed run. A run that was cancelled before it failed
-- has the generation of its next failure.
if known then
  local current = tonumber(record.generation)
  if current < 0 then -- rule: cancelled in advance
    save(nil, {'generation', args.generation, 'max_attempts', args.max_attempts, 'level', args.level, 'task_id',
      args.task_id, 'map_index', args.map_index, 'ti_id', args.ti_id, 'error', args.error, 'flags', args.flags,
      'run_started', args.run_started or '0'})
    current = generation
  end
  if generation < current then -- rule: older is stale
    return lose('stale')
  end
  local in_hand = record.status ~= 'unclaimed' -- rule: unclaimed is in nobody's hand
  if generation == current and in_hand then
    local finished = record.due_at == '0' -- rule: a told ending is at rest
    local dead = args.takeover == '1' and record.status ~= 'waiting' -- rule: no death ends a delay
    dead = dead and record.level == 'task' -- rule: only a task's holder is dead
    local left = record.level == '' and args.level == 'dag' -- rule: what is left is told by the Dag level
    local due = now >= tonumber(record.due_at) -- rule: a lease lasts
    if finished or args.leave or not (dead or left or due) then -- rule: one winner
      return lose('already_' .. record.status)
    end
    -- The tries of the first holder may be gone: a scheduler that resets orphaned tasks gives them others, without a clear.
    -- For a deadlock Airflow names any task, even one that succeeded. An ending is told of the try that was claimed.
    local ended = record.status == 'exhausted' or record.status == 'skipped'
    if args.takeover == '1' and args.error ~= 'all_tasks_deadlocked' and not ended then
      save(nil, {'task_id', args.task_id, 'map_index', args.map_index, 'ti_id', args.ti_id})
    end
    return answer(take_over(args.level), record.reason)
  end
end

-- Rules 3 and 4: the generation in which the budget begins. An ending ends the budget, and the next clear is by hand. All
-- clears since the ending count, even those before this failure: a replica that lagged may hold an old ending. A blocked
-- run has not ended before its hooks were told: the holder that takes it over tries the clear once more.
local base, attempt, budget_at, reason = 0, 0, now, 'claimed'
if not known then
  local held = tonumber(args.on_missing_record)
  if held then
    base, attempt = math.max(0, generation - held), held
  elseif generation > 0 and (args.on_missing_record == 'start_fresh'
      or args.run_after and has_remembered()) then -- rule: what was forgotten counts
    base = generation
  end
else
  local ended = record.status == 'succeeded' or record.status == 'exhausted'
  ended = ended or record.status == 'skipped' -- rule: a skip ends a budget
  ended = ended or record.status == 'blocked' and record.due_at == '0' -- rule: blocked ends once told
  ended = ended and args.on_manual_clear ~= 'keep' -- rule: an ending ends a budget
  if ended then -- rule: only an ending ends a budget
    base, reason = tonumber(record.generation) + 1, 'fresh_budget' -- rule: the clear begins the budget
  else
    base, attempt, budget_at = tonumber(record.base), tonumber(record.attempt), tonumber(record.budget_at)
    base = base < 0 and generation or base -- rule: a reset begins with the next claim
  end
end

-- Rule 5: the cap. If Redis has forgotten attempts, Airflow's clear_number still holds the cap: it is the second witness.
local used = math.max(attempt, generation - base) -- rule: the second witness
local delay = tonumber(delays[used + 1] or delays[#delays] or 0)
local verdict, status = 'won', 'claimed'
if used >= max_attempts then -- rule: the cap
  verdict, status = 'exhausted', 'exhausted'
  reason = attempt >= max_attempts and 'max_attempts' or 'generation'
elseif args.skip then -- rule: hopeless is skipped
  verdict, status, reason = 'skipped', 'skipped', args.skip
elseif args.max_elapsed and now + delay > budget_at + args.max_elapsed then
  verdict, status, reason = 'exhausted', 'exhausted', 'max_elapsed'
elseif delay > 0 then
  status = 'waiting'
end
if verdict == 'won' then
  attempt = used + 1
else
  attempt = math.max(attempt, math.min(used, max_attempts))
end
-- A holder that does not have the hooks leaves an ending to whoever has them.
local lease = (verdict == 'won' or has_hooks(args.level, args.flags)) and args.lease or 0
local due_at = numeral(now + (status == 'waiting' and delay or lease)) -- rule: untold is told again
-- Nobody holds what is left. The event has the level of this callback.
local left = args.leave and verdict ~= 'won'
save(verdict, {'status', status, 'reason', reason, 'attempt', numeral(attempt), 'max_attempts', args.max_attempts,
  'generation', args.generation, 'base', numeral(base), 'lost', '0', 'claim_id', claim_id, 'level',
  left and '' or args.level, 'task_id', args.task_id, 'map_index', args.map_index, 'ti_id', args.ti_id, 'error', args.error,
  'flags', args.flags, 'run_started', args.run_started or '0', 'budget_at', numeral(budget_at), 'due_at', due_at},
  {level = args.level})
return answer(verdict, reason) -- rule: an ending is kept
