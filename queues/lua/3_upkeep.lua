-- What keeps a shard in order, and what looks at it.

-- What a header says of its payload: type and schema version. Nothing where it is too short. The tenant's name stands before the type's.
local function kind_of(h)
  local at = string.byte(h) == 1 and 86 or tried(h) and 29 or 21
  local tenant = string.byte(h, at)
  local n = tenant and string.byte(h, at + 1 + tenant)
  if not n then return end
  return string.sub(h, at + 2 + tenant, at + 1 + tenant + n), struct.unpack('<I2', h, 3)
end

-- unpark: back to the stream with a page of what is parked, where its header and kind are known.
-- K s p   A cursor ('' at first), count, highest version of headers, (type, highest version)…   → next cursor ('' at the end), how many
local function unpark(K, A)
  local s, parked = unpack(K)
  local known, moved = {}, 0
  for i = 4, #A, 2 do known[A[i]] = tonumber(A[i + 1]) end
  local page = redis.call('HSCAN', parked, A[1] == '' and '0' or A[1], 'COUNT', limit(A[2]))
  for i = 1, #page[2], 2 do
    local h, p = unpack_home(page[2][i + 1])
    local name, version = kind_of(h)
    local highest = name and known[name]
    if highest and version <= highest and string.byte(h) <= tonumber(A[3]) then
      append(s, h, p)
      redis.call('HDEL', parked, page[2][i])
      moved = moved + 1
    end
  end
  return {page[1] == '0' and '' or page[1], moved}
end

-- promote: K s d dh   A limit   → moved, next due ms (0 when none), now ms
local function promote(K, A)
  local s, d, dh = unpack(K)
  local now = now_ms()
  local ids = redis.call('ZRANGEBYSCORE', d, '-inf', now, 'LIMIT', 0, limit(A[1]))
  for _, id in ipairs(ids) do
    local v = redis.call('HGET', dh, id)
    if v then append(s, unpack_home(v)) end
    redis.call('ZREM', d, id)
    redis.call('HDEL', dh, id)
  end
  return {#ids, tonumber(redis.call('ZRANGE', d, 0, 0, 'WITHSCORES')[2] or 0), now}
end

-- cancel: a delayed or parked job is removed, and the outcome kept; else, for the stream class, the request is noted for whoever
-- claims or runs it.
-- K d dh p x0 x1 n o0 o1   A job, stream_class (1|0), outcome|''   → 1 removed, 0 requested
local function cancel(K, A)
  local d, dh, p, x0, x1, n, o0, o1 = unpack(K)
  local job, stream_class = A[1], A[2] == '1'
  local removed = redis.call('ZREM', d, job) + redis.call('HDEL', p, job)
  if removed > 0 then
    redis.call('HDEL', dh, job)
    count(n, stream_class and 'cancelled' or 'jout', removed)
    if A[3] ~= '' then redis.call('HSET', current(o0, o1, now_ms()), job, A[3]) end
    return 1
  end
  if stream_class then redis.call('HSET', current(x0, x1, now_ms()), job, 1) end
  return 0
end

-- due now: brings a delayed job to the head of its delayed set. K d   A job   → 1 or 0
local function due_now(K, A)
  local d, job, now = K[1], A[1], now_ms()
  local score = redis.call('ZSCORE', d, job)
  if not score then return 0 end
  if tonumber(score) > now then redis.call('ZADD', d, now, job) end
  redis.call('PUBLISH', 'pen:due', d .. ' ' .. string.format('%.0f', now))
  return 1
end

-- snooze: another due time for a delayed job. K d   A job, due_ms   → 1 or 0
local function snooze(K, A)
  local d, job, due = K[1], A[1], tonumber(A[2])
  if not redis.call('ZSCORE', d, job) then return 0 end
  redis.call('ZADD', d, due, job)
  announce(d, due)
  return 1
end

-- group: creates stream and group, from the first entry. K s   → 1 created, 0 was there
local function create_group(K)
  if group(K[1]) then return 0 end
  redis.call('XGROUP', 'CREATE', K[1], G, '0', 'MKSTREAM')
  return 1
end

-- epoch: compare and set. K e n s d p r   A expected|'', value   → 1 or 0
-- A new epoch ("rebuilding …") starts the counters anew from what is there; who runs is told again by the next renewals.
local function epoch(K, A)
  local e, n, s, d, p, r = unpack(K)
  if (redis.call('GET', e) or '') ~= A[1] then return 0 end
  if string.sub(A[2], 1, 10) == 'rebuilding' then
    redis.call('DEL', n, r)
    redis.call('HSET', n, 'base', redis.call('XLEN', s) + redis.call('ZCARD', d) + redis.call('HLEN', p))
  end
  redis.call('SET', e, A[2])
  return 1
end

-- The cursor behind a page of entries; empty behind the last.
local function after(es, n)
  return #es == n and '(' .. es[n][1] or ''
end

-- walk: names the jobs of one home. K s, d or p   A cursor ('' at first), count   → next cursor ('' at the end), job ids…
local function walk(K, A)
  local home, cursor, n = K[1], A[1], limit(A[2])
  local kind, out = redis.call('TYPE', home).ok, {''}
  if kind == 'stream' then
    local es = redis.call('XRANGE', home, cursor == '' and '-' or cursor, '+', 'COUNT', n)
    for _, e in ipairs(es) do
      local h = fields_of(e)
      if #h >= 20 then out[#out + 1] = job_of(h) end
    end
    out[1] = after(es, n)
  elseif kind ~= 'none' then
    local page = redis.call(kind == 'zset' and 'ZSCAN' or 'HSCAN', home, cursor == '' and '0' or cursor, 'COUNT', n)
    for i = 1, #page[2], 2 do out[#out + 1] = page[2][i] end
    if page[1] ~= '0' then out[1] = page[1] end
  end
  return out
end

-- mend: entries that were delivered, are not pending, and yet are there (acknowledged, not deleted): put anew.
-- K s   A cursor ('' at first), count   → next cursor ('' at the end), how many
local function mend(K, A)
  local s, g = K[1], group(K[1])
  if not g then return {'', 0} end
  local from, n = A[1] == '' and '-' or A[1], limit(A[2])
  local es = redis.call('XRANGE', s, from, g['last-delivered-id'], 'COUNT', n)
  local mended = 0
  for _, e in ipairs(es) do
    if #redis.call('XPENDING', s, G, e[1], e[1], 1) == 0 then
      append(s, fields_of(e))
      redis.call('XDEL', s, e[1])
      mended = mended + 1
    end
  end
  return {after(es, n), mended}
end

-- collect: forgets consumers that hold nothing and were not heard of for a while, at most 100 a call.
-- K s   A idle_ms   → how many
local function collect(K, A)
  local s, gone = K[1], 0
  if not group(s) then return 0 end
  for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', s, G)) do
    local name, pending, idle = c[2], c[4], c[6]
    if pending == 0 and idle > tonumber(A[1]) and name ~= 'handback' and name ~= QUARANTINE and gone < 100 then
      redis.call('XGROUP', 'DELCONSUMER', s, G, name)
      gone = gone + 1
    end
  end
  return gone
end

-- A length and as many bytes, cut off at the front; nil when there are fewer.
local function cut(v)
  local n = #v >= 2 and struct.unpack('<H', v)
  if not n or #v - 2 < n then return nil end
  return string.sub(v, 3, 2 + n), string.sub(v, 3 + n)
end

-- drop: the dead that were handed over. One that was replayed meanwhile, and died again, stays: it is of a newer generation.
-- K dead   A (job, generation)…   → how many
local function drop(K, A)
  local dead_key, n = K[1], 0
  for i = 1, #A, 2 do
    local v = redis.call('HGET', dead_key, A[i])
    local reason, rest = cut(v or '')
    local h = reason and cut(rest) or ''
    if v and (age_of(h)) <= tonumber(A[i + 1]) then n = n + redis.call('HDEL', dead_key, A[i]) end
  end
  return n
end

-- find: where stream-class jobs are. K o0 o1 r d p dead   A job, job…   → of each place, since or due ms (0 unless running or delayed), outcome
-- Places: 0 nowhere (or waiting: the stream is not searched), 1 outcome, 2 running, 3 delayed, 4 parked, 5 dead.
local function place_of(K, job)
  local o0, o1, r, d, p, dead_key = unpack(K)
  local outcome = redis.call('HGET', o0, job) or redis.call('HGET', o1, job)
  if outcome then return 1, 0, outcome end
  local started = redis.call('HGET', r, job)
  if started then return 2, tonumber(started), '' end
  local due = redis.call('ZSCORE', d, job)
  if due then return 3, tonumber(due), '' end
  if redis.call('HEXISTS', p, job) == 1 then return 4, 0, '' end
  if redis.call('HEXISTS', dead_key, job) == 1 then return 5, 0, '' end
  return 0, 0, ''
end

local function find(K, A)
  local out = {}
  for i, job in ipairs(A) do
    out[3 * i - 2], out[3 * i - 1], out[3 * i] = place_of(K, job)
  end
  return out
end

-- Since when the oldest waiting entry is in the stream: the first one not yet delivered, or the first one handed back. Its id says when,
-- by our clock and for this home; its header is its producer's. Nil: none waits.
local function oldest_waiting(s, g, handed_back)
  local function since(from, to)
    local e = redis.call('XRANGE', s, from, to, 'COUNT', 1)[1]
    return e and tonumber(string.match(e[1], '^%d+'))
  end
  local a = since('(' .. (g and g['last-delivered-id'] or '0-0'), '+')
  if handed_back > 0 then
    local id = redis.call('XPENDING', s, G, '-', '+', 1, 'handback')[1][1]
    local b = since(id, id)
    if b then a = earlier(a, b) end
  end
  return a
end

-- depth: O(1) in the number of jobs.
-- K s d p dead n e   → entries, pending, handed back, delayed, parked, dead to hand over, since when the oldest waiting entry waits
-- (ms; 0 when none), next due ms (0 when none), now ms, epoch, counters {field, value…}
local function depth(K)
  local s, d, p, dead_key, n, e = unpack(K)
  local g, pending, back = group(s), 0, 0
  if g then
    local x = redis.call('XPENDING', s, G)
    pending = x[1]
    for _, c in ipairs(x[4] or {}) do
      if c[1] == 'handback' then back = tonumber(c[2]) end
    end
  elseif redis.call('EXISTS', s) == 1 then
    return redis.error_reply('NOGROUP no group g in ' .. s) -- nobody can claim: whoever looks must hear of it
  end
  return {redis.call('XLEN', s), pending, back, redis.call('ZCARD', d), redis.call('HLEN', p), redis.call('HLEN', dead_key),
          oldest_waiting(s, g, back) or 0, tonumber(redis.call('ZRANGE', d, 0, 0, 'WITHSCORES')[2] or 0), now_ms(),
          redis.call('GET', e) or '', redis.call('HGETALL', n)}
end
