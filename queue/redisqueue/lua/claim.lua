-- ARGV: the lane's key, how many, the lease in microseconds, the consumer, whether the
-- oldest comes first, and how many to look at. It returns whether there may be more, and
-- the ID, fields and body of each job.
even_if_full()
local l, want, consumer, budget = call('HGET', P .. 'lanes', ARGV[2]), tonumber(ARGV[3]), ARGV[5], tonumber(ARGV[7])
if not l or want <= 0 then return {0} end
local claimed = {}

-- next_of returns the entry of a stream that is to be read next.
local function next_of(key)
  local groups = pcall('XINFO', 'GROUPS', key)
  for _, g in ipairs(groups.err and {} or groups) do
    local of = {}
    for i = 1, #g, 2 do of[g[i]] = g[i + 1] end
    if of.name == 'w' then return call('XRANGE', key, '(' .. of['last-delivered-id'], '+', 'COUNT', 1)[1] end
  end
end

-- peek returns what is next of a priority; aside: it is in the sorted set.
local function peek(p)
  local best
  local z = call('ZRANGE', P .. 'b:' .. l .. ':' .. p, 0, 0, 'WITHSCORES')
  if z[2] then best = {d = tonumber(z[2]), q = tonumber(string.sub(z[1], 1, 16)), aside = z[1]} end
  local e = next_of(P .. 's:' .. l .. ':' .. p)
  if e then
    local d, q = string.match(e[1], '(%d+)-(%d+)')
    d, q = tonumber(d), tonumber(q)
    if not best or d < best.d or d == best.d and q < best.q then best = {d = d, q = q} end
  end
  return best
end

-- take claims a job, unless it cannot be sent.
local function take(p, id, d, q, from)
  budget = budget - 1
  local j = load(id)
  local same = j and j.q == q and tonumber(j.d) == tonumber(d) -- as numbers: a score is rounded
  if j and (j.s ~= 'ready' or j.l ~= l or j.p ~= p or not same) then
    -- The entry is not the job's. If the job is Ready all the same, Sweep finds it.
    if from and not (j.s == 'sending' and same) then drop(from, d .. '-' .. q) end
    return
  end
  if not j then
    if from then drop(from, d .. '-' .. q) end
    if j == nil then condemn(id, {s = 'ready', l = l, p = p, q = q, d = d}) else count_ready(l, p, -1) end
  elseif j.dl ~= '0' and now > tonumber(j.dl) then
    become(j, 'failed', {reason = DEADLINE})
  else
    become(j, 'sending', {lease = tonumber(ARGV[4]), claimed = true})
    local body = pcall('GET', P .. 'r:' .. id)
    claimed[#claimed + 1] = {id, call('HGETALL', P .. 'j:' .. id), type(body) == 'string' and body or ''}
  end
end

-- read takes up to n of a priority, and reports whether there was anything.
local function read(p, n)
  local key, set = P .. 's:' .. l .. ':' .. p, P .. 'b:' .. l .. ':' .. p
  if call('ZCARD', set) > 0 then
    local first = peek(p)
    n = 1
    if first.aside then
      call('ZREM', set, first.aside)
      take(p, string.sub(first.aside, 17), int(first.d), int(first.q))
      return true
    end
  end
  local r = pcall('XREADGROUP', 'GROUP', 'w', consumer, 'COUNT', n, 'STREAMS', key, '>')
  if type(r) == 'table' and r.err then
    if string.find(r.err, 'NOGROUP') and call('EXISTS', key) == 1 then -- somebody has removed it
      call('XGROUP', 'CREATE', key, 'w', '0')
      return true
    end
    return false
  end
  if not r then return false end
  for _, e in ipairs(r[1][2]) do
    local d, q = string.match(e[1], '(%d+)-(%d+)')
    take(p, e[2] and e[2][2] or '', d, q, key)
  end
  return true
end

if ARGV[6] == '1' then
  repeat
    local best, of
    for _, p in ipairs({'h', 'n', 'l'}) do
      local x = peek(p)
      if x and (not best or x.d < best.d or x.d == best.d and x.q < best.q) then best, of = x, p end
    end
  until not best or not read(of, 1) or #claimed > 0 or budget <= 0
end
local ready = call('HMGET', P .. 'ready', l .. 'h', l .. 'n', l .. 'l')
for i, p in ipairs({'h', 'n', 'l'}) do
  while ready[i] and #claimed < want and budget > 0 and read(p, math.min(want - #claimed, budget)) do end
end
return {budget <= 0 and 1 or 0, unpack(claimed)}
