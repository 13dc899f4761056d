-- Jobs on their way in.

-- add: journal-class jobs (the row in Postgres is the truth; no dedupe here)
-- K s d dh n e   A (due_ms|0, h, p)…   → epoch nonce, or '' when there is no epoch: then nothing is added, as the row could not be
-- marked, and the relay would add the job once more
local function add(K, A)
  local s, d, dh, n, e = unpack(K)
  local now, first, nonce = now_ms(), nil, epoch_nonce(e)
  if nonce == '' then return nonce end
  for i = 1, #A, 3 do
    local due = tonumber(A[i])
    if due > now then
      delay(d, dh, n, A[i + 1], A[i + 2], due)
      first = earlier(first, due)
    else
      append(s, A[i + 1], A[i + 2])
    end
  end
  count(n, 'jin', #A / 3)
  announce(d, first)
  return nonce
end

-- What is known of a call's jobs, by key; and the hash for what is new. Each hash is asked once.
local function look_up(i0, i1, A, now)
  local keys, known = {}, {}
  for i = 2, #A, 5 do
    if A[i] ~= '' then keys[#keys + 1] = A[i] end
  end
  if #keys == 0 then return known end
  local cur = current(i0, i1, now)
  local a, b = redis.call('HMGET', i0, unpack(keys)), redis.call('HMGET', i1, unpack(keys))
  for k, key in ipairs(keys) do known[key] = a[k] or b[k] end
  return known, cur
end

-- enqueue: stream-class jobs
-- K s d dh n i0 i1   A depth_limit, (key_hash|'', body_hash, due_ms|0, h, p)…
-- → per job: 1 accepted, 0 known (same body), 2 known (other body), -1 full; and the job id that counts ('' when full)
local function enqueue(K, A)
  local s, d, dh, n, i0, i1 = unpack(K)
  local now, first, accepted, new, out = now_ms(), nil, 0, {}, {}
  local room = tonumber(A[1]) - redis.call('XLEN', s) - redis.call('ZCARD', d)
  local known, cur = look_up(i0, i1, A, now)
  for i = 2, #A, 5 do
    local key, body, due, h = A[i], A[i + 1], A[i + 2], A[i + 3]
    local was, verdict, id = known[key], 1, job_of(h)
    if was then
      verdict = string.sub(was, 17) == body and 0 or 2
      id = string.sub(was, 1, 16)
    elseif accepted >= room then
      verdict, id = -1, ''
    else
      due = tonumber(due)
      if due > now then
        delay(d, dh, n, h, A[i + 4], due)
        first = earlier(first, due)
      else
        append(s, h, A[i + 4])
      end
      if key ~= '' then
        known[key] = id .. body
        new[#new + 1] = key
        new[#new + 1] = known[key]
      end
      accepted = accepted + 1
    end
    out[#out + 1] = verdict
    out[#out + 1] = id
  end
  if #new > 0 then redis.call('HSET', cur, unpack(new)) end
  count(n, 'accepted', accepted)
  announce(d, first)
  return out
end
