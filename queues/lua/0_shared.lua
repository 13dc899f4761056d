-- The queue protocol's atomic steps. PROTOCOL.md describes each; they exist nowhere else. The library is the files of this
-- folder one after the other, in the order of their names, behind two lines (src/library.c): its name, and VERSION.
--
-- Order inside a step: check everything, write the new home, remove the old one (XDEL, then XACK). A crash may tear a step
-- between two commands (the AOF keeps a prefix of it): an entry deleted but still pending heals by itself (XAUTOCLAIM drops
-- it), an entry acknowledged but not deleted would not. A job may thus be in two homes for a moment, never in none.
-- The clock is Redis TIME. The group is always "g". Every loop is bounded by MOST.
--
-- Values of :dh, :p and :dead carry a header length (u16 little endian), the header, the payload.
-- Counters (:n): base + jin + accepted - jout - done - cancelled - expired - dead - merged = XLEN s + ZCARD d + HLEN p.

local G = 'g'
local MOST = 1000
local QUARANTINE = 'quarantine'
local DAY_MS = 86400000

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function limit(v)
  return math.max(1, math.min(MOST, tonumber(v)))
end

local function pack(h, p)
  return struct.pack('<H', #h) .. h .. p
end

local function unpack_home(v)
  if #v < 2 then return '', '' end
  local n = struct.unpack('<H', v)
  return string.sub(v, 3, 2 + n), string.sub(v, 3 + n)
end

-- Job id: bytes 5..20 of the header.
local function job_of(h)
  return string.sub(h, 5, 20)
end

-- The same for an entry that somebody else may have written: when its header is too short to have a job id, a UUIDv8 made
-- from the id of the entry, so that it can be buried like any other.
local function job_of_entry(h, id)
  if #h >= 20 then return job_of(h) end
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return struct.pack('>I6', tonumber(ms)) .. '\128\0\160\0' .. struct.pack('>I6', tonumber(seq))
end

-- Generation and attempts charged, u32 each: at 37 in version 1; from version 2 on, for ever, at 21 if they are not 0, which flag 2 tells.
local function tried(h) return math.floor((string.byte(h, 2) or 0) / 2) % 2 == 1 end

local function age_of(h)
  local at = string.byte(h) == 1 and 37 or tried(h) and 21
  if not at or #h < at + 7 then return 0, 0 end
  local generation, attempt = struct.unpack('<I4I4', h, at)
  return generation, attempt
end

local function is_older(a, b)
  local generation_a, attempt_a = age_of(a)
  local generation_b, attempt_b = age_of(b)
  if generation_a ~= generation_b then return generation_a < generation_b end
  return attempt_a < attempt_b
end

local function count(n, field, by)
  if by ~= 0 then redis.call('HINCRBY', n, field, by) end
end

local function epoch_nonce(e)
  return string.match(redis.call('GET', e) or '', ' (%d+)$') or ''
end

-- What XINFO GROUPS says of our group, or nil when there is no stream or no group.
local function group(s)
  if redis.call('EXISTS', s) == 0 then return nil end
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', s)) do
    local g = {}
    for i = 1, #fields, 2 do g[fields[i]] = fields[i + 1] end
    if g.name == G then return g end
  end
  return nil
end

-- Ids of entries. None may come again for another job, whatever Redis forgets and wherever its clock then stands: who still holds a lost
-- entry would end somebody else's job by its id. So in each millisecond numbers begin at the salt of this life of Redis, and on a stream
-- that is ahead (its clock was; a library beside this one) they begin anew a millisecond behind its last.
local salt, tails, following = nil, {}, nil

local function draw_salt()
  local t = redis.call('TIME')
  return t[2] * 4294 + t[1] % 4294
end

local function next_id(s)
  local tail, now = tails[s], now_ms()
  salt = salt or draw_salt()
  if tail and now <= tail.ms then
    tail.seq = tail.seq + 1
  else
    tails[s] = {ms = now, seq = salt}
  end
  return string.format('%.0f-%.0f', tails[s].ms, tails[s].seq)
end

local function id_ahead(s)
  local x = redis.call('XINFO', 'STREAM', s)
  for i = 1, #x, 2 do
    if x[i] == 'last-generated-id' then tails[s] = {ms = string.match(x[i + 1], '^%d+') + 1, seq = salt} end
  end
  return string.format('%.0f-%.0f', tails[s].ms, tails[s].seq)
end

-- The first of a call (see define) gets its id from us, those behind it the numbers that follow.
local function append(s, h, p)
  if following then
    tails[s].seq = tails[s].seq + 1
    redis.call('XADD', s, following, 'h', h, 'p', p)
    return
  end
  if type(redis.pcall('XADD', s, next_id(s), 'h', h, 'p', p)) == 'table' then
    redis.call('XADD', s, id_ahead(s), 'h', h, 'p', p)
  end
  following = string.format('%.0f-*', tails[s].ms)
end

-- Header and payload of an entry; nil when it is gone from the stream. Field names are not looked at: ours are h, p.
local function fields_of(e)
  if not e then return nil end
  return e[2][2], e[2][4] or ''
end

local function entry(s, id)
  return fields_of(redis.call('XRANGE', s, id, id)[1])
end

-- How often an entry was delivered, if it is pending under this consumer; else nil.
local function owned(s, consumer, id)
  local row = redis.call('XPENDING', s, G, id, id, 1, consumer)[1]
  return row and row[4]
end

-- How many entries went; one deleted before (by a torn step) is not counted again.
local function remove(s, ...)
  local n = redis.call('XDEL', s, ...)
  redis.call('XACK', s, G, ...)
  return n
end

-- A home has one copy of a job: that of the newest generation, and in that the one with the most attempts. An older one, left over
-- from before a replay, can only find out that it is over; in the newer one's place it would lose the replayed job, whose row may
-- be marked as being in Redis. One that the epoch pass put there again begins to count anew. False: it was not put there.
local function put_home(home, id, h, p)
  local was = redis.call('HGET', home, id)
  if was and is_older(h, (unpack_home(was))) then return false end
  redis.call('HSET', home, id, pack(h, p))
  return true, not was
end

-- What stays keeps its due time, unless a torn step has left it without one.
local function delay(d, dh, n, h, p, due)
  local id, new = job_of(h), nil
  if put_home(dh, id, h, p) then
    new = redis.call('ZADD', d, due, id)
  else
    new = redis.call('ZADD', d, 'NX', due, id)
  end
  if new == 0 then count(n, 'merged', 1) end
end

-- The scheduler sleeps until the head of a delayed set: it must hear of an earlier one.
local function announce(d, due)
  if due and tonumber(redis.call('ZRANGE', d, 0, 0, 'WITHSCORES')[2]) == due then
    redis.call('PUBLISH', 'pen:due', d .. ' ' .. string.format('%.0f', due))
  end
end

-- Suspects (:c): job → lone runs begun so far, a space, what was seen of the last death. Nil for a job that is none. What its runner
-- never cleared goes a day after the last crash of the shard.
local function suspicion(c, job)
  local runs, why = string.match(redis.call('HGET', c, job) or '', '^(%d+) (.*)$')
  return tonumber(runs), why
end

local function suspect(c, job, runs, why)
  redis.call('HSET', c, job, string.format('%d %s', runs, why))
  redis.call('PEXPIRE', c, DAY_MS)
end

local function earlier(a, b)
  return a and math.min(a, b) or b
end

-- The current one of two hourly hashes; emptied when it is from two hours ago. The other one expires by itself.
local function current(k0, k1, now)
  local hour = math.floor(now / 3600000)
  local k = hour % 2 == 0 and k0 or k1
  if redis.call('HMGET', k, '@')[1] ~= tostring(hour) then
    redis.call('UNLINK', k)
    redis.call('HSET', k, '@', hour)
    redis.call('PEXPIREAT', k, (hour + 2) * 3600000)
  end
  return k
end
