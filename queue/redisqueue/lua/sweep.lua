-- ARGV: the longest lease and how long to keep, in microseconds, how many of each at most,
-- and whether failed ones are to be reported. It returns how many are in doubt now, have
-- expired, and are deleted.
even_if_full()
local lease, keep, max = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local done = {0, 0, 0}

for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'leases', '-inf', '(' .. int(now), 'LIMIT', 0, max)) do
  local j = load(id)
  if j and j.s == 'sending' then
    become(j, 'in doubt', {look = int(now), reason = LEASE})
    done[1] = done[1] + 1
  else
    call('ZREM', P .. 'leases', id)
    if j == nil then condemn(id, {s = 'sending'}) end
  end
end
if lease > 0 then
  local most = int(now + lease)
  for _, id in ipairs(call('ZREVRANGEBYSCORE', P .. 'leases', '+inf', '(' .. most, 'LIMIT', 0, max)) do
    if load(id) then
      call('ZADD', P .. 'leases', most, id)
      call('HSET', P .. 'j:' .. id, 'e', most)
    else
      call('ZREM', P .. 'leases', id)
      condemn(id, {s = 'sending'})
    end
  end
end

for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', '(' .. int(now), 'LIMIT', 0, max)) do
  local j = load(id)
  if j and WAITING[j.s] and j.dl ~= '0' then
    become(j, 'failed', {reason = DEADLINE, reported = ARGV[5] ~= '1'})
    done[2] = done[2] + 1
  else
    call('ZREM', P .. 'deadlines', id)
    if j == nil then condemn(id, {}) end
  end
end

if keep <= 0 then return done end
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'finished', '-inf', '(' .. int(now - keep), 'LIMIT', 0, max)) do
  local j = load(id)
  if j and FINAL[j.s] then
    local key = P .. 'j:' .. id
    local v = call('HMGET', key, 'u', 'sid')
    call('ZREM', P .. 'finished', id)
    call('ZREM', P .. 'unreported', id)
    if BY_SEQ[j.s] then call('ZREM', P .. 'is:' .. j.s, id) end
    if v[2] then forget_sid(id, v[2]) end
    -- What a campaign has done stays counted, and its keys stay held.
    if not call('HGET', P .. 'l:' .. j.l, 'campaign') then
      count(j.l, j.s, -1)
      if v[1] and call('HGET', P .. 'unique', v[1]) == id then call('HDEL', P .. 'unique', v[1]) end
    end
    call('XDEL', P .. 'ids', j.q .. '-0')
    call('DEL', key, P .. 'r:' .. id)
    done[3] = done[3] + 1
  else
    call('ZREM', P .. 'finished', id)
    if j == nil then condemn(id, {s = 'failed'}) end -- it is kept once more, and says so
  end
end
return done
