-- An attempt: its lease, and its end.

-- renew: keeps leases alive, lists long-running jobs, brings cancel requests
-- K s r x0 x1 l   A consumer, (id, job, started_ms|0)…   → {lost ids…}, {ids whose cancel was requested…}
local function renew(K, A)
  local s, r, x0, x1, l = unpack(K)
  local cancels = redis.call('EXISTS', x0, x1) > 0
  local lost, cancel = {}, {}
  for i = 2, #A, 3 do
    local id, job, started = A[i], A[i + 1], A[i + 2]
    if owned(s, A[1], id) and #redis.call('XCLAIM', s, G, A[1], 0, id, 'JUSTID') == 1 then
      if started ~= '0' and redis.call('HGET', r, job) ~= started then redis.call('HSET', r, job, started) end
      if cancels and (redis.call('HEXISTS', x0, job) == 1 or redis.call('HEXISTS', x1, job) == 1) then
        cancel[#cancel + 1] = id
      end
    else
      lost[#lost + 1] = id
    end
  end
  redis.call('HSET', l, 'at', now_ms())
  return {lost, cancel}
end

-- cancels: which jobs have a cancel request standing. K x0 x1   A job…   → 1 or 0 for each; nothing at all when none has
local function cancels(K, A)
  if redis.call('EXISTS', K[1], K[2]) == 0 then return {} end
  local a, b = redis.call('HMGET', K[1], unpack(A)), redis.call('HMGET', K[2], unpack(A))
  local out = {}
  for i = 1, #A do out[i] = (a[i] or b[i]) and 1 or 0 end
  return out
end

-- settle: terminal entries. Unfenced on purpose: the effect is decided, so anybody may.
-- K s r n o0 o1   A journal, done, cancelled, expired, long, ids…, jobs…, (job, outcome)…
-- The first four say how many of the ids ended how, in this order; long, how many jobs may stand in :r. Outcomes to keep last.
local ENDS = {'jout', 'done', 'cancelled', 'expired'}

local function settle_fits(A)
  local n = 5
  for i = 1, 5 do n = n + tonumber(A[i]) end
  return #A >= n and (#A - n) % 2 == 0
end

local function settle(K, A)
  local s, r, n, o0, o1 = unpack(K)
  local ids_n = A[1] + A[2] + A[3] + A[4]
  local outcomes = 6 + ids_n + A[5]
  if #A >= outcomes then
    local o = current(o0, o1, now_ms())
    for i = outcomes, #A, 2 do redis.call('HSET', o, A[i], A[i + 1]) end
  end
  local from = 6
  for k, field in ipairs(ENDS) do
    local to = from + A[k] - 1
    if to >= from then count(n, field, remove(s, unpack(A, from, to))) end
    from = to + 1
  end
  if A[5] ~= '0' then redis.call('HDEL', r, unpack(A, from, outcomes - 1)) end
  return 1
end

-- retry: K s d dh r n   A consumer, (id, delay_ms, h)…   → lost ids
local function retry(K, A)
  local s, d, dh, r, n = unpack(K)
  local now, first, lost = now_ms(), nil, {}
  for i = 2, #A, 3 do
    local id, due, h = A[i], now + tonumber(A[i + 1]), A[i + 2]
    local old, p = nil, nil
    if owned(s, A[1], id) then old, p = entry(s, id) end
    if old then
      delay(d, dh, n, h, p, due)
      first = earlier(first, due)
      remove(s, id)
      redis.call('HDEL', r, job_of(h))
    else
      lost[#lost + 1] = id
    end
  end
  announce(d, first)
  return lost
end

-- dead: stream class only; a journal job is dead in Postgres first and then settled.
-- K s dead r n   A consumer, (id, reason)…   → lost ids
local function dead(K, A)
  local s, dead_key, r, n = unpack(K)
  local lost = {}
  for i = 2, #A, 2 do
    local id, reason, h, p = A[i], string.sub(A[i + 1], 1, 0xffff), nil, nil
    if owned(s, A[1], id) then h, p = entry(s, id) end
    if h then
      local job = job_of_entry(h, id)
      redis.call('HSET', dead_key, job, struct.pack('<H', #reason) .. reason .. pack(h, p))
      count(n, 'dead', remove(s, id))
      redis.call('HDEL', r, job)
    else
      lost[#lost + 1] = id
    end
  end
  return lost
end

-- park: entries of a version, of header or schema, that this worker does not know
-- K s p r n   A consumer, id…   → lost ids
local function park(K, A)
  local s, parked, r, n = unpack(K)
  local lost = {}
  for i = 2, #A do
    local id, h, p = A[i], nil, nil
    if owned(s, A[1], id) then h, p = entry(s, id) end
    if h then
      local job = job_of_entry(h, id)
      local _, new = put_home(parked, job, h, p)
      if not new then count(n, 'merged', 1) end
      remove(s, id)
      redis.call('HDEL', r, job)
    else
      lost[#lost + 1] = id
    end
  end
  return lost
end

-- hand back: entries that were claimed and will not be run to their end by this consumer. Their delivery counts only if the consumer died
-- while it ran them.
-- K s   A queue, consumer, died (1|0), id…   → lost ids
local function hand_back(K, A)
  local s, lost = K[1], {}
  for i = 4, #A do
    local n = owned(s, A[2], A[i])
    if n then
      if A[3] == '0' then n = math.max(0, n - 1) end
      redis.call('XCLAIM', s, G, 'handback', 0, A[i], 'RETRYCOUNT', n, 'JUSTID')
    else
      lost[#lost + 1] = A[i]
    end
  end
  if #A - 3 > #lost then redis.call('PUBLISH', 'pen:wake', A[1]) end
  return lost
end

-- suspect: entries that may be why their consumer died; whoever takes them from quarantine runs them alone. Without a why they were not
-- run, or not to their end: a lone run that was counted is not.
-- K s c   A consumer, why|'', id…   → lost ids
local function to_quarantine(K, A)
  local s, c, died, lost = K[1], K[2], A[2], {}
  for i = 3, #A do
    local id, h = A[i], nil
    if owned(s, A[1], id) then h = entry(s, id) end
    if h then
      local job = job_of_entry(h, id)
      local runs, why = suspicion(c, job)
      if died == '' then
        suspect(c, job, math.max(0, (runs or 0) - 1), why or '')
      else
        suspect(c, job, runs or 0, died)
      end
      redis.call('XCLAIM', s, G, QUARANTINE, 0, id, 'JUSTID')
    else
      lost[#lost + 1] = id
    end
  end
  return lost
end

-- lone: one entry from quarantine, to be run alone, and counted before it is. Asked again, because the answer was lost: the same
-- entry, counted once.
-- K s c   A consumer   → entries (one, or none), lone runs begun before this one, what was seen of the last death
local function lone(K, A)
  local s, c, me = K[1], K[2], A[1]
  local held = redis.call('XPENDING', s, G, '-', '+', 1, me)[1]
  local first = held or redis.call('XPENDING', s, G, '-', '+', 1, QUARANTINE)[1]
  local e = first and redis.call('XCLAIM', s, G, me, 0, first[1], 'RETRYCOUNT', 1)[1]
  if not e then return {{}, 0, ''} end
  local job = job_of_entry(fields_of(e), e[1])
  local runs, why = suspicion(c, job)
  runs, why = runs or 0, why or ''
  if held then return {{e}, math.max(0, runs - 1), why} end
  suspect(c, job, runs + 1, why)
  return {{e}, runs, why}
end

-- Of a stale entry: is it to be run alone? A suspect is; so is what was running when another consumer died, or fell silent: two may have
-- died of it, whole machines perhaps. That is no verdict, and no count.
local function to_be_alone(s, c, e)
  local job = job_of_entry(fields_of(e), e[1])
  if suspicion(c, job) then return true end
  if redis.call('XPENDING', s, G, e[1], e[1], 1)[1][4] <= 2 then return false end
  suspect(c, job, 0, 'lost')
  return true
end

-- sweep: takes what was handed back and, with a lease, what nobody renewed. One sweeper at a time, the cursor is kept. What is to be run
-- alone goes to quarantine instead.
-- K s l c   A consumer, count, lease_ms|0   → entries, number of entries found deleted but pending
local function sweep(K, A)
  local s, l, c = unpack(K)
  local room, lease, now = limit(A[2]), tonumber(A[3]), now_ms()
  local out, orphans = {}, 0
  local back = redis.call('XPENDING', s, G, '-', '+', room, 'handback')
  if #back > 0 then
    local ids = {}
    for i, b in ipairs(back) do ids[i] = b[1] end
    out = redis.call('XCLAIM', s, G, A[1], 0, unpack(ids))
    orphans = #ids - #out
  end
  if lease == 0 then return {out, orphans} end
  local state = redis.call('HMGET', l, 'until', 'cursor', 'at')
  local free_at, seen_at = tonumber(state[1] or 0), tonumber(state[3] or now)
  redis.call('HSET', l, 'at', now)
  -- Nobody came by for seconds, to renew or to sweep: Redis was away, or everybody was. Leases ended that nobody could renew; their
  -- holders come first.
  local silent = now - seen_at > 5000
  if silent then redis.call('HSET', l, 'until', now + 4000) end
  if silent or #out >= room or (free_at > now and free_at <= now + 4000) then return {out, orphans} end
  -- One XAUTOCLAIM looks at 10 x COUNT pending entries; a sweep with little room must not need minutes for a long list.
  local cursor, looked = state[2] or '0-0', 0
  repeat
    local want = room - #out
    local a = redis.call('XAUTOCLAIM', s, G, A[1], lease, cursor, 'COUNT', want)
    cursor, looked = a[1], looked + 10 * want
    for _, e in ipairs(a[2]) do
      if to_be_alone(s, c, e) then
        redis.call('XCLAIM', s, G, QUARANTINE, 0, e[1], 'JUSTID')
      else
        out[#out + 1] = e
      end
    end
    orphans = orphans + #a[3]
  until #out >= room or cursor == '0-0' or looked >= 2 * MOST
  -- A full batch: more may wait, and the next sweeper need not. Thousands of leases end at once when a machine dies.
  redis.call('HSET', l, 'until', #out < room and now + 1000 or 0, 'cursor', cursor)
  return {out, orphans}
end
