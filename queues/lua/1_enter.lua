-- Jobs on their way in.

-- add: journal-class jobs (the row in Postgres is the truth; no dedupe here)
-- K s d dh n e   A (due_ms|0, h, p)…   → epoch nonce, or '' when there is no epoch
local function add(K, A)
  local s, d, dh, n, e = unpack(K)
  local now, first = now_ms(), nil
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
  return epoch_nonce(e)
end

-- enqueue: stream-class jobs
-- K s d dh n i0 i1   A depth_limit, (key_hash|'', body_hash, due_ms|0, h, p)…
-- → per job: 1 accepted, 0 known (same body), 2 known (other body), -1 full; and the job id that counts ('' when full)
local function enqueue(K, A)
  local s, d, dh, n, i0, i1 = unpack(K)
  local now, first, accepted, cur, out = now_ms(), nil, 0, nil, {}
  local room = tonumber(A[1]) - redis.call('XLEN', s) - redis.call('ZCARD', d)
  for i = 2, #A, 5 do
    local key, body, due, h, p = unpack(A, i, i + 4)
    local known, verdict, id = nil, 1, job_of(h)
    if key ~= '' then
      cur = cur or current(i0, i1, now)
      known = redis.call('HGET', i0, key) or redis.call('HGET', i1, key)
    end
    if known then
      verdict = string.sub(known, 17) == body and 0 or 2
      id = string.sub(known, 1, 16)
    elseif accepted >= room then
      verdict, id = -1, ''
    else
      due = tonumber(due)
      if due > now then
        delay(d, dh, n, h, p, due)
        first = earlier(first, due)
      else
        append(s, h, p)
      end
      if key ~= '' then redis.call('HSET', cur, key, id .. body) end
      accepted = accepted + 1
    end
    out[#out + 1] = verdict
    out[#out + 1] = id
  end
  count(n, 'accepted', accepted)
  announce(d, first)
  return out
end
