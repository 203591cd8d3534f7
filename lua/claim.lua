-- claim: asks to be the one callback that retries the run in this generation.
--
-- KEYS, and what every verb takes: record.lua.
-- ARGV[1], a JSON object, besides:
--   lease              ms; how long the winner may take before another finishes the claim
--   claim_id           the same id asked again gets the same answer and, won or exhausted, counts once
--   generation         dag_run.clear_number of the failure
--   max_attempts       the cap of a budget, 1 or more
--   level              'task', 'dag' or 'sweeper'
--   task_id            the failed try, kept with the claim for whoever finishes the claim
--   map_index
--   ti_id
--   error              the exception's type, '' where unknown
--   clear              how to clear the run, kept with the claim: flags with commas between them
--   takeover           '1': every task of the run has ended, so a holder at the task level is dead. Default: not so
--   on_missing_record  no record: how many attempts another counter holds, or 'start_fresh': no clear counts. Default:
--                      every clear counts
--   run_after          ms; the run can't have failed earlier. If this namespace has remembered everything since then, a
--                      run without a record never failed, and no clear counts. Default: unknown
--   on_manual_clear    cleared by a person after an ending: 'keep' the budget. Default: a new budget
--   skip               why this failure is not to be retried, as a code. Default: it is to be
--   max_elapsed        ms from the first failure of the budget, after which no attempt begins. Default: no limit
--   delays             an array: ms before each attempt; the last holds for all that follow. Default: none
--
-- Returns one JSON object with verdict, reason, attempt, max_attempts, task_id, map_index, ti_id, error, clear, due_at.
-- Numbers are numerals. The failed try and clear are those kept with the claim. due_at is when to clear the run (ms), '0'
-- for at once. Verdict and reason:
--   'won'        'claimed'             clear the run, then confirm; with a due_at leave the clear to who takes it then
--   'won'        'fresh_budget'        the same, as the first attempt after a person cleared an ended run
--   'won'        'taken_over'          finish the claim of a dead holder: renew, clear, confirm
--   'won'        'due'                 the same, of a claim that waited
--   'lost'       'stale'               a newer generation has been claimed since
--   'lost'       'already_<status>'    the generation is in hand: already_waiting, already_claimed, already_retrying,
--                                      already_succeeded, already_exhausted, already_blocked, already_skipped
--   'exhausted'  'max_attempts'        every attempt of the budget is used: tell it, then acknowledge
--   'exhausted'  'generation'          Airflow's clear_number says so, although the record (or its absence) does not
--   'exhausted'  'max_elapsed'         the next attempt would begin too late
--   'skipped'    '<skip>'              as asked for: tell it, then acknowledge
-- An ending that was not acknowledged is told again, as 'exhausted', 'skipped' or, where blocked, as 'won' 'taken_over'.
--
-- A comment 'rule: …' names the rule of the line it ends. The simulation takes each rule out, and must notice.

local claim_id = args.claim_id
local generation = tonumber(args.generation)
local max_attempts = tonumber(args.max_attempts)
local delays = args.delays or {}

local function answer(verdict, reason)
  return cjson.encode({verdict = verdict, reason = reason, attempt = record.attempt, max_attempts = record.max_attempts,
    task_id = record.task_id, map_index = record.map_index, ti_id = record.ti_id, error = record.error,
    clear = record.clear, due_at = record.status == 'waiting' and record.due_at or '0'})
end

-- Counts a loser in the record. Only the first few of a generation have an event: thousands of mapped tasks may fail
-- at once, and would push all else out of the stream.
local function lose(reason)
  local told = redis.call('HINCRBY', run_key, 'lost', '1') <= LOST_EVENTS
  emit('lost', told and {generation = args.generation, attempt = record.attempt, max_attempts = record.max_attempts,
    reason = reason, level = args.level, task_id = args.task_id, map_index = args.map_index, error = args.error})
  return answer('lost', reason)
end

-- Tells whether Redis has remembered all failures since the run could first fail. This namespace was born a minute before
-- then (clocks differ), the server is the same since, and no record of the run can have outlived its TTL. Where another
-- server took over, memory begins anew. Who may not ask which server this is knows nothing of it.
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

-- Rule 1: the same claim, asked again.
if record and record.claim_id == claim_id then -- rule: same claim, same answer
  local ending = record.status == 'exhausted' or record.status == 'skipped'
  return answer(ending and record.status or 'won', record.reason)
end

-- Rule 2: an older generation is stale. In the same generation there is a winner, but the winner may be dead, or have left
-- the clear to whoever comes when it is due. An unclaimed run is in nobody's hand.
if record then
  local current = tonumber(record.generation)
  if generation < current then -- rule: older is stale
    return lose('stale')
  end
  local in_hand = record.status ~= 'unclaimed' -- rule: unclaimed is in nobody's hand
  if generation == current and in_hand then
    local finished = record.due_at == '0' -- rule: a told ending is at rest
    local dead = args.takeover == '1' and record.status ~= 'waiting' -- rule: no death ends a delay
    dead = dead and record.level == 'task' -- rule: only a task's holder is dead
    local due = now >= tonumber(record.due_at) -- rule: a lease lasts
    if finished or not (dead or due) then -- rule: one winner
      return lose('already_' .. record.status)
    end
    return answer(take_over(args.level), record.reason)
  end
end

-- Rules 3 and 4: where the budget begins. A budget is over with an ending; what follows an ending is a clear by hand.
-- Every clear since then counts, not only those from this failure on: the ending may be an old one, of a replica that
-- lagged. A blocked run that nobody was told of has not ended: whoever takes it over tries the clear once more.
local base, attempt, budget_at, reason = 0, 0, now, 'claimed'
if not record then
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
  end
end

-- Rule 5: the cap. Airflow's clear_number is the second witness, for a Redis that forgets.
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
local due_at = numeral(now + (status == 'waiting' and delay or args.lease)) -- rule: untold is told again
save(verdict, {'status', status, 'reason', reason, 'attempt', numeral(attempt), 'max_attempts', args.max_attempts,
  'generation', args.generation, 'base', numeral(base), 'lost', '0', 'claim_id', claim_id, 'level', args.level,
  'task_id', args.task_id, 'map_index', args.map_index, 'ti_id', args.ti_id, 'error', args.error, 'clear', args.clear,
  'budget_at', numeral(budget_at), 'due_at', due_at})
return answer(verdict, reason) -- rule: an ending is kept
