-- claim: asks to be the one callback that retries the run in this generation.
--
-- KEYS and ARGV[1] to ARGV[3]: record.lua.
-- ARGV:
--   [4]  lease           ms; how long the winner may take before another finishes its claim
--   [5]  claim_id        the same id asked again gets the same answer and, won or exhausted, counts once
--   [6]  generation      dag_run.clear_number of the failure
--   [7]  max_attempts    the cap of a budget, 1 or more
--   [8]  holder          who asks: host and process, for the reader
--   [9]  level           'task', 'dag' or 'sweeper'
--   [10] takeover        '1': every task of the run has ended, so a holder at task level is dead; else '0'
--   [11] missing_record  no record: 'count_from_zero' (all clears ever count), 'start_fresh', or how many attempts
--                        another counter holds
--   [12] manual_clear    cleared by a person after an ending: 'start_fresh' (a new budget) or 'keep'
--   [13] task_id         the failed try, kept with the claim for whoever finishes it
--   [14] map_index
--   [15] ti_id
--   [16] error           the exception's type, '' where unknown
--   [17] options         how to clear the run, kept with the claim: flags with commas between them
--   [18] skip            why this failure is not to be retried, as a code; '' where it is
--   [19] max_elapsed     ms from the first failure of the budget, after which no attempt begins; '0' for no limit
--   [20] delays          ms before each attempt, with commas between them; the last holds for all that follow
--
-- Returns, as one JSON array, verdict, reason, attempt, max_attempts, task_id, map_index, ti_id, error, options, due_at:
-- numbers as numerals, the failed try and the options those kept with the claim, due_at when to clear the run (ms), '0'
-- for at once:
--   'won'        'claimed'             clear the run, then confirm; with a due_at leave it to who takes it then
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

local lease = tonumber(ARGV[4])
local claim_id = ARGV[5]
local generation = tonumber(ARGV[6])
local max_attempts = tonumber(ARGV[7])
local holder = ARGV[8]
local level = ARGV[9]
local takeover = ARGV[10]
local missing_record = ARGV[11]
local manual_clear = ARGV[12]
local task_id = ARGV[13]
local map_index = ARGV[14]
local ti_id = ARGV[15]
local error_type = ARGV[16]
local options = ARGV[17]
local skip = ARGV[18]
local max_elapsed = tonumber(ARGV[19])
local delays = ARGV[20]

local function answer(verdict, reason)
  return cjson.encode({verdict, reason, record.attempt, record.max_attempts, record.task_id, record.map_index,
    record.ti_id, record.error, record.options, record.status == 'waiting' and record.due_at or '0'})
end

local function delay_before(attempt)
  local delay, number = '0', 0
  for each in string.gmatch(delays, '%d+') do
    number = number + 1
    if number <= attempt then
      delay = each
    end
  end
  return tonumber(delay)
end

local function lose(reason)
  emit('lost', {generation = ARGV[6], attempt = record.attempt, max_attempts = record.max_attempts, reason = reason,
    level = level, holder = holder, task_id = task_id, map_index = map_index, error = error_type})
  return answer('lost', reason)
end

-- Rule 1: the same claim, asked again.
if record and record.claim_id == claim_id then
  local told = record.status == 'exhausted' or record.status == 'skipped'
  return answer(told and record.status or 'won', record.reason)
end

-- Rule 2: an older generation is stale; in the same one there is a winner, but it may be dead, or have left the clear
-- to whoever comes when it is due. What is unclaimed is in nobody's hand.
if record then
  local current = tonumber(record.generation)
  if generation < current then
    return lose('stale')
  end
  if generation == current and record.status ~= 'unclaimed' then
    local unfinished = record.due_at ~= '0'
    local holder_dead = takeover == '1' and record.level == 'task' and record.status ~= 'waiting'
    if not (unfinished and (holder_dead or now >= tonumber(record.due_at))) then
      return lose('already_' .. record.status)
    end
    return answer(take_over(claim_id, holder, level, lease), record.reason)
  end
end

-- Rules 3 and 4: where the budget begins. A budget is over with an ending; what follows one is a clear by hand. Every
-- clear since then counts, and not from this failure on: the ending may be an old one, of a replica that lagged behind.
-- A blocked one that nobody was told of is no ending yet: whoever takes it over tries the clear once more.
local base, attempt, budget_at, reason = 0, 0, now, 'claimed'
if not record then
  if missing_record == 'start_fresh' then
    base = generation
  elseif missing_record ~= 'count_from_zero' then
    attempt = tonumber(missing_record)
    base = math.max(0, generation - attempt)
  end
elseif manual_clear == 'start_fresh' and (record.status == 'succeeded' or record.status == 'exhausted'
    or record.status == 'skipped' or (record.status == 'blocked' and record.acknowledged == '1')) then
  base, reason = tonumber(record.generation) + 1, 'fresh_budget'
else
  base, attempt, budget_at = tonumber(record.base), tonumber(record.attempt), tonumber(record.budget_at)
end

-- Rule 5: the cap. Airflow's clear_number is the second witness, for a Redis that forgets.
local used = math.max(attempt, generation - base)
local delay = delay_before(used + 1)
local verdict, status = 'won', 'claimed'
if used >= max_attempts then
  verdict, status = 'exhausted', 'exhausted'
  reason = attempt >= max_attempts and 'max_attempts' or 'generation'
elseif skip ~= '' then
  verdict, status, reason = 'skipped', 'skipped', skip
elseif max_elapsed > 0 and now + delay > budget_at + max_elapsed then
  verdict, status, reason = 'exhausted', 'exhausted', 'max_elapsed'
elseif delay > 0 then
  status = 'waiting'
end
if verdict == 'won' then
  attempt = used + 1
else
  attempt = math.max(attempt, math.min(used, max_attempts))
end
local due_at = numeral(now + (status == 'waiting' and delay or lease))
save(verdict, {status = status, generation = ARGV[6], base = numeral(base), attempt = numeral(attempt),
  max_attempts = ARGV[7], claim_id = claim_id, holder = holder, level = level, task_id = task_id,
  map_index = map_index, ti_id = ti_id, error = error_type, reason = reason, acknowledged = '0', due_at = due_at,
  options = options, budget_at = numeral(budget_at)})
return answer(verdict, reason)
