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
--   [11] missing_record  no record: 'count_from_zero' (all clears ever count) or 'start_fresh'
--   [12] manual_clear    cleared by a person after an ending: 'start_fresh' (a new budget) or 'keep'
--   [13] task_id         the failed try, kept with the claim for whoever finishes it
--   [14] map_index
--   [15] ti_id
--   [16] error           the exception's type, '' where unknown
--
-- Returns {verdict, reason, attempt, max_attempts, task_id, map_index, ti_id}, numbers as numerals, the
-- failed try being the one kept with the claim:
--   'won'        'claimed'             clear the run, then confirm
--   'won'        'fresh_budget'        the same, as the first attempt after a person cleared an ended run
--   'won'        'taken_over'          finish the claim of a dead holder: renew, clear, confirm
--   'lost'       'stale'               a newer generation has been claimed since
--   'lost'       'already_<status>'    the generation is in hand: already_claimed, already_retrying, already_succeeded,
--                                      already_exhausted, already_blocked
--   'exhausted'  'max_attempts'        every attempt of the budget is used: tell it, then acknowledge
--   'exhausted'  'generation'          Airflow's clear_number says so, although the record (or its absence) does not
-- An ending that was not acknowledged is told again, as 'exhausted' or, where blocked, as 'won' 'taken_over'.

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

local due_at = numeral(now + lease)

local function answer(verdict, reason)
  return {verdict, reason, record.attempt, record.max_attempts, record.task_id, record.map_index, record.ti_id}
end

local function lose(reason)
  emit('lost', {generation = ARGV[6], attempt = record.attempt, max_attempts = record.max_attempts, reason = reason,
    level = level, holder = holder, task_id = task_id, map_index = map_index, error = error_type})
  return answer('lost', reason)
end

-- Rule 1: the same claim, asked again.
if record and record.claim_id == claim_id then
  return answer(record.status == 'exhausted' and 'exhausted' or 'won', record.reason)
end

-- Rule 2: an older generation is stale; in the same one there is a winner, but it may be dead.
if record then
  local current = tonumber(record.generation)
  if generation < current then
    return lose('stale')
  end
  if generation == current then
    local unfinished = record.due_at ~= '0'
    local holder_dead = (takeover == '1' and record.level == 'task') or now >= tonumber(record.due_at)
    if not (unfinished and holder_dead) then
      return lose('already_' .. record.status)
    end
    if record.status == 'exhausted' then
      save('taken_over', {claim_id = claim_id, holder = holder, level = level, due_at = due_at})
      return answer('exhausted', record.reason)
    end
    save('taken_over', {status = 'claimed', reason = 'taken_over', claim_id = claim_id, holder = holder,
      level = level, due_at = due_at})
    return answer('won', 'taken_over')
  end
end

-- Rules 3 and 4: where the budget begins. A budget is over with an ending; what follows one is a clear by hand.
local base, attempt, reason = 0, 0, 'claimed'
if not record then
  if missing_record == 'start_fresh' then
    base = generation
  end
elseif (record.status == 'succeeded' or record.status == 'exhausted' or record.status == 'blocked')
    and manual_clear == 'start_fresh' then
  base, reason = generation, 'fresh_budget'
else
  base, attempt = tonumber(record.base), tonumber(record.attempt)
end

-- Rule 5: the cap. Airflow's clear_number is the second witness, for a Redis that forgets.
local used = math.max(attempt, generation - base)
local verdict, status = 'won', 'claimed'
if used >= max_attempts then
  verdict, status = 'exhausted', 'exhausted'
  reason = attempt >= max_attempts and 'max_attempts' or 'generation'
  attempt = math.max(attempt, math.min(used, max_attempts))
else
  attempt = used + 1
end
save(verdict, {status = status, generation = ARGV[6], base = numeral(base), attempt = numeral(attempt),
  max_attempts = ARGV[7], claim_id = claim_id, holder = holder, level = level, task_id = task_id,
  map_index = map_index, ti_id = ti_id, error = error_type, reason = reason, acknowledged = '0', due_at = due_at})
return answer(verdict, reason)
