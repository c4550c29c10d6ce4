-- Every script begins with this. KEYS[1] is the key of the layout's version, from which
-- all others are named; ARGV[1] is what it is to say: the version, and a number drawn
-- when the store was made, so that one that was emptied is not taken for it.
--
-- A script checks what it is given and what is stored before it writes the first time:
-- Redis does not take back what a script has done before an error.
local P = string.sub(KEYS[1], 1, -2)
local call, pcall = redis.call, redis.pcall
local function layout(v) return tonumber(string.match(v or '', '^(%d+) ') or 0) end
local version = call('GET', KEYS[1])
if version ~= ARGV[1] then
  return redis.error_reply(layout(version) > layout(ARGV[1]) and 'PACEROUTDATED' or 'PACERGONE')
end
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- int is how a number leaves a script. Redis prints scores from 1e17 on, and newer ones
-- also smaller ones, as 2.5e+17.
local LAST = 253402300799999999 -- the end of the year 9999; as a number it is 1 more
local function int(x) return string.format('%.0f', math.max(-LAST, math.min(x, LAST))) end

-- Redis with its memory full refuses what needs more, unless the script has written
-- before. What makes room, or records what was sent, begins with a write that needs none.
local function even_if_full() call('DEL', P .. 'none') end

local FINAL = {sent = true, failed = true, cancelled = true}
local STATES = {ready = true, delayed = true, sending = true, ['in doubt'] = true, sent = true, failed = true, cancelled = true}
local WAITING = {ready = true, delayed = true}
local BY_SEQ = {['in doubt'] = true, failed = true, cancelled = true} -- states with an index in the order of Add

local function whole(v) return type(v) == 'string' and #v <= 18 and string.find(v, '^%d+$') ~= nil end

-- load returns what scripts need of a job: false, there is none; nil, it makes no sense.
local function load(id)
  local v = pcall('HMGET', P .. 'j:' .. id, 's', 'l', 'p', 'q', 'd', 'dl', 'n', 'x', 'f')
  if v.err then return nil end
  if not v[1] and not v[2] and not v[4] and not v[5] then return false end
  local j = {id = id, s = v[1], l = v[2], p = v[3], q = v[4], d = v[5], dl = v[6] or '0', n = v[7] or '0', x = v[8], f = v[9] or '0'}
  if not STATES[j.s] or not j.p or not string.find(j.p, '^[hnl]$') or not (whole(j.l) and whole(j.q) and whole(j.d) and whole(j.dl) and whole(j.n) and whole(j.f)) then return nil end
  return j
end

-- The Ready jobs of a lane and a priority are in a stream, in the order of their entries'
-- IDs, due-seq, or, where a stream cannot take them because later ones are in it already,
-- in a sorted set beside it, by due and then by member, seq and ID. A stream is there only
-- while something is in it: ten thousand quiet lanes have none.
local function stream(j) return P .. 's:' .. j.l .. ':' .. j.p end
local function beside(j) return P .. 'b:' .. j.l .. ':' .. j.p end
local function entry(j) return j.d .. '-' .. j.q end
local function member(j) return string.format('%016.0f', j.q) .. j.id end
local function seq(m) return whole(string.sub(m, 1, 16)) and int(string.sub(m, 1, 16)) or nil end

local function push(j)
  local key = stream(j)
  local r = pcall('XADD', key, 'NOMKSTREAM', entry(j), 'i', j.id)
  if not r then -- there is no such stream
    call('XGROUP', 'CREATE', key, 'w', '0', 'MKSTREAM')
    r = pcall('XADD', key, entry(j), 'i', j.id)
  end
  if type(r) == 'table' and r.err then call('ZADD', beside(j), j.d, member(j)) end
end

-- drop takes an entry out of a stream, for whoever has it.
local function drop(key, id)
  pcall('XACK', key, 'w', id)
  pcall('XDEL', key, id)
  if pcall('XLEN', key) == 0 then call('DEL', key) end
end

-- A lane's Delayed jobs are in a sorted set by due; of all lanes that have such, due has
-- when the first is due.
local function first_due(l)
  local z = call('ZRANGE', P .. 'd:' .. l, 0, 0, 'WITHSCORES')
  if z[2] then call('ZADD', P .. 'due', z[2], l) else call('ZREM', P .. 'due', l) end
end

-- add adds to a counter, and begins anew with one that is no number: it must not stop the
-- jobs that it counts.
local function add(key, field, n)
  local r = pcall('HINCRBY', key, field, n)
  if type(r) == 'table' then
    call('HSET', key, field, int(math.max(n, 0)))
    return n
  end
  return r
end

local function count(l, what, n)
  if l ~= '0' then add(P .. 'l:' .. l, what, n) end -- 0: nobody knows which
end

local function count_ready(l, p, n)
  if add(P .. 'ready', l .. p, n) <= 0 then call('HDEL', P .. 'ready', l .. p) end
end

-- leave takes a job out of where its state has it. claimed: it is out of there already.
local function leave(j, claimed)
  local s = j.s
  if s == 'ready' then
    if not claimed and call('ZREM', beside(j), member(j)) == 0 then drop(stream(j), entry(j)) end
    count_ready(j.l, j.p, -1)
  else
    count(j.l, s, -1)
  end
  if WAITING[s] and j.dl ~= '0' then call('ZREM', P .. 'deadlines', j.id) end
  if s == 'delayed' then
    call('ZREM', P .. 'd:' .. j.l, member(j))
    first_due(j.l)
  elseif s == 'sending' then
    call('ZREM', P .. 'leases', j.id)
    drop(stream(j), entry(j))
  elseif s == 'in doubt' then
    call('ZREM', P .. 'looks', j.id)
  elseif FINAL[s] then
    call('ZREM', P .. 'finished', j.id)
    call('ZREM', P .. 'unreported', j.id)
  end
  if BY_SEQ[s] then call('ZREM', P .. 'is:' .. s, j.id) end
end

-- enter puts it where its state has it.
local function enter(j)
  local s = j.s
  if s == 'ready' then
    push(j)
    count_ready(j.l, j.p, 1)
  else
    count(j.l, s, 1)
  end
  if WAITING[s] and j.dl ~= '0' then call('ZADD', P .. 'deadlines', j.dl, j.id) end
  if s == 'delayed' then
    call('ZADD', P .. 'd:' .. j.l, j.d, member(j))
    first_due(j.l)
  elseif s == 'sending' then
    call('ZADD', P .. 'leases', j.e, j.id)
  elseif s == 'in doubt' then
    if j.t ~= '0' then call('ZADD', P .. 'looks', j.t, j.id) end
  elseif FINAL[s] then
    call('ZADD', P .. 'finished', j.f, j.id)
    if s ~= 'cancelled' and j.r ~= '1' then call('ZADD', P .. 'unreported', j.q, j.id) end
  end
  if BY_SEQ[s] then call('ZADD', P .. 'is:' .. s, j.q, j.id) end
end

-- Which jobs have a SID: IDs, separated by line breaks; mostly one.
local function forget_sid(id, sid)
  local left = {}
  for other in string.gmatch(call('HGET', P .. 'sids', sid) or '', '[^\n]+') do
    if other ~= id then left[#left + 1] = other end
  end
  if #left > 0 then call('HSET', P .. 'sids', sid, table.concat(left, '\n')) else call('HDEL', P .. 'sids', sid) end
end

local function has_sid(id, sid)
  local old = call('HGET', P .. 'j:' .. id, 'sid')
  if old == sid then return end
  if old then forget_sid(id, old) end
  if sid ~= '' and call('HSETNX', P .. 'sids', sid, id) == 0 then
    call('HSET', P .. 'sids', sid, call('HGET', P .. 'sids', sid) .. '\n' .. id)
  end
end

-- become moves a job. o has what goes with it: due, lease, look, looked, reported,
-- attempt, no_deadline, token, claimed, reason alone, or outcome with sid, reason, rest.
local function become(j, to, o)
  local from, key = j.s, P .. 'j:' .. j.id
  local stays = from == 'sending' and to == 'sending'
  if not stays then leave(j, o.claimed) end
  local set, del = {}, {}
  local function put(field, value)
    if value == '0' or value == '' then del[#del + 1] = field
    else set[#set + 1] = field; set[#set + 1] = value end
  end
  if o.no_deadline then j.dl = '0'; put('dl', '0') end
  if WAITING[to] then
    if o.due then j.d = o.due; put('d', o.due) end
    to = tonumber(j.d) > now and 'delayed' or 'ready'
  end
  j.s, j.e, j.t, j.r = to, '0', '0', '0'
  put('s', to)
  if to == 'sending' then j.e = int(now + o.lease) end
  if to == 'in doubt' then
    j.t = o.look or '0'
    if from ~= to then put('k', '0') end
  end
  if FINAL[to] then
    if from ~= to then j.f = int(now) end
    if o.reported and to ~= 'cancelled' then j.r = '1' end
  else
    j.f = '0'
  end
  put('e', j.e); put('t', j.t); put('f', j.f); put('r', j.r)
  if o.token then put('x', o.token) end
  if o.claimed then put('n', int(j.n + 1)); put('b', int(now)) end
  if o.outcome then
    has_sid(j.id, o.sid)
    put('sid', o.sid); put('y', o.reason); put('o', o.rest)
  elseif o.reason then
    put('y', o.reason)
  end
  if #set > 0 then call('HSET', key, unpack(set)) end
  if #del > 0 then call('HDEL', key, unpack(del)) end
  if o.attempt then call('HINCRBY', key, 'a', 1) end
  if o.looked and to == 'in doubt' then call('HINCRBY', key, 'k', 1) end
  if stays then call('ZADD', P .. 'leases', j.e, j.id) else enter(j) end
  if FINAL[from] and not FINAL[to] then count(j.l, 'arrived', 1) end
  if FINAL[to] and not FINAL[from] then count(j.l, 'departed', 1) end
  if WAITING[to] then call('INCR', P .. 'news') end
end

-- condemn moves a job whose hash makes no sense to where it does no harm, and says why:
-- one that waits to failed, one that may have been sent to in doubt, parked. known has what
-- the place tells where it was found: s, l, p, q, d. What nobody knows any more is made
-- up. It returns the job; nil if its place in the order of Add is lost: then repair, which
-- goes by that order, is to find it.
local function condemn(id, known)
  local key = P .. 'j:' .. id
  local v = pcall('HMGET', key, 's', 'l', 'p', 'q', 'd', 'n', 'f')
  local q = known.q or whole(v[4]) and v[4]
  if not q then return nil end
  if v.err then call('DEL', key) end -- it is of another type
  local j = {
    id = id, q = q, s = STATES[v[1]] and v[1] or known.s or 'in doubt', l = known.l or whole(v[2]) and v[2] or '0',
    p = known.p or v[3] and string.find(v[3], '^[hnl]$') and v[3] or 'n', d = known.d or whole(v[5]) and v[5] or int(now),
    dl = '0', n = whole(v[6]) and v[6] or '0', f = whole(v[7]) and v[7] or int(now),
  }
  call('HDEL', key, 'dl', 'n', 'x', 'o')
  call('HSET', key, 's', j.s, 'l', j.l, 'p', j.p, 'q', j.q, 'd', j.d, 'n', j.n)
  call('ZREM', P .. 'deadlines', id)
  become(j, WAITING[j.s] and 'failed' or FINAL[j.s] and j.s or 'in doubt', {reason = DAMAGED})
  return j
end
