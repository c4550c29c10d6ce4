-- ARGV: the place in the order of Add to go on from, how many jobs to look at, the number
-- of the lane to go on from, how many lanes, the consumer, and for how many milliseconds
-- an entry or a consumer is to have been idle. It puts jobs where their state has them if
-- they are not there, condemns those that make no sense, and counts anew what is Ready in
-- the lanes, which only is needed if somebody has changed keys; and it takes over what
-- vanished consumers have. It returns from where to go on, and how many it has put right.
local fixed = 0

-- recount sets how many are Ready in a lane to what is there.
local function recount(l)
  for _, p in ipairs({'h', 'n', 'l'}) do
    local n, key = call('ZCARD', P .. 'b:' .. l .. ':' .. p), P .. 's:' .. l .. ':' .. p
    if call('EXISTS', key) == 1 then
      n = n + call('XLEN', key)
      local groups = pcall('XINFO', 'GROUPS', key) -- none, if somebody has removed it: claim makes it anew
      for _, g in ipairs(groups.err and {} or groups) do
        local of = {}
        for i = 1, #g, 2 do of[g[i]] = g[i + 1] end
        if of.name == 'w' then n = n - of.pending end
      end
    end
    local is = call('HGET', P .. 'ready', l .. p)
    if is and is ~= int(n) or not is and n > 0 then
      if n > 0 then call('HSET', P .. 'ready', l .. p, int(n)) else call('HDEL', P .. 'ready', l .. p) end
      call('INCR', P .. 'news')
      fixed = fixed + 1
    end
  end
end

local read = {} -- of streams: the last entry that was read
local function unread(j)
  local key = stream(j)
  if read[key] == nil then
    read[key] = {math.huge, 0}
    local groups = pcall('XINFO', 'GROUPS', key)
    for _, g in ipairs(groups.err and {} or groups) do
      local of = {}
      for i = 1, #g, 2 do of[g[i]] = g[i + 1] end
      if of.name == 'w' then
        local d, q = string.match(of['last-delivered-id'], '(%d+)-(%d+)')
        read[key] = {tonumber(d), tonumber(q)}
      end
    end
  end
  local d, q, last = tonumber(j.d), tonumber(j.q), read[key]
  if d < last[1] or d == last[1] and q <= last[2] then return false end
  local e = pcall('XRANGE', key, entry(j), entry(j))
  return not e.err and #e > 0
end

local touched = {}
local es = call('XRANGE', P .. 'ids', ARGV[2] .. '-0', '+', 'COUNT', ARGV[3])
local from = #es < tonumber(ARGV[3]) and '0' or int(string.match(es[#es][1], '^%d+') + 1)
for _, e in ipairs(es) do
  local j = load(e[2][2])
  if j == nil then
    condemn(e[2][2], {q = string.match(e[1], '^%d+')})
    fixed = fixed + 1
  elseif j and j.s == 'ready' then
    if not call('ZSCORE', beside(j), member(j)) and not unread(j) then
      drop(stream(j), entry(j))
      call('ZADD', beside(j), j.d, member(j))
      call('INCR', P .. 'news')
      touched[j.l] = true
      fixed = fixed + 1
    end
  elseif j and j.s == 'delayed' and not call('ZSCORE', P .. 'd:' .. j.l, member(j)) then
    call('ZADD', P .. 'd:' .. j.l, j.d, member(j))
    first_due(j.l)
    fixed = fixed + 1
  elseif j and j.s == 'sending' and not call('ZSCORE', P .. 'leases', j.id) then
    call('ZADD', P .. 'leases', int(now), j.id)
    fixed = fixed + 1
  end
end

-- forget removes consumers that have nothing in their hands and are not heard of.
local function forget(key)
  local consumers = pcall('XINFO', 'CONSUMERS', key, 'w')
  for _, c in ipairs(consumers.err and {} or consumers) do
    local of = {}
    for i = 1, #c, 2 do of[c[i]] = c[i + 1] end
    if of.pending == 0 and of.idle > tonumber(ARGV[7]) and of.name ~= ARGV[6] then call('XGROUP', 'DELCONSUMER', key, 'w', of.name) end
  end
end
forget(P .. 'in')
for l in pairs(touched) do recount(l) end

local lanes, first, n = call('HLEN', P .. 'lanes'), tonumber(ARGV[4]), tonumber(ARGV[5])
for l = first, math.min(first + n - 1, lanes) do
  for _, p in ipairs({'h', 'n', 'l'}) do
    local key = P .. 's:' .. int(l) .. ':' .. p
    if call('EXISTS', key) == 1 then
      local r = pcall('XAUTOCLAIM', key, 'w', ARGV[6], ARGV[7], '0', 'COUNT', 100)
      for _, e in ipairs(r.err and {} or r[2]) do
        if e then
          local j = load(e[2][2])
          if not j or j.s ~= 'sending' or entry(j) ~= e[1] then
            if not (j and j.s == 'ready' and entry(j) == e[1]) then drop(key, e[1]) end -- else the look at the jobs finds it
          end
        end
      end
      forget(key)
    end
  end
  recount(int(l))
end
local lane = first + n > lanes and 1 or first + n
return {from, int(lane), fixed}
