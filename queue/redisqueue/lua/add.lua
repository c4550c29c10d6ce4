-- ARGV: how many lanes, for each its key and campaign, and for each job the number of its
-- lane among them, ID, priority, due, deadline, unique key, body. It returns for each job
-- "", or the ID of the one that has its key.
--
-- What is asked for many at a time costs half as much.
local function many(command, n, args)
  local all = {}
  for from = 1, n, 500 do
    local v = call(command, args(from, math.min(from + 499, n)))
    for i = 1, #v do all[from + i - 1] = v[i] end
  end
  return all
end

local lanes, at = {}, 3
for i = 1, tonumber(ARGV[2]) do
  lanes[i] = {key = ARGV[at], campaign = ARGV[at + 1], counts = {}}
  at = at + 2
end
local bodies = many('MGET', (#ARGV - at + 1) / 7, function(from, to)
  local keys = {}
  for i = from, to do keys[#keys + 1] = P .. 'r:' .. ARGV[at + (i - 1) * 7 + 1] end
  return unpack(keys)
end)
for i, l in ipairs(many('HMGET', #lanes, function(from, to)
  local fields = {P .. 'lanes'}
  for i = from, to do fields[#fields + 1] = lanes[i].key end
  return unpack(fields)
end)) do lanes[i].l = l end
local said, jobs, holders, seen = {}, {}, {}, {}
for i = at, #ARGV, 7 do
  local there = bodies[(i - at) / 7 + 1]
  local id, unique, body = ARGV[i + 1], ARGV[i + 5], ARGV[i + 6]
  local known = false
  if unique ~= '' then
    known = holders[unique] or call('HGET', P .. 'unique', unique)
    if known == id and not seen[id] then known = false end
  end
  if known then
    said[#said + 1] = known
  else
    if seen[id] or there and there ~= body then return redis.error_reply('PACEREXISTS ' .. id) end
    local s = there and pcall('HGET', P .. 'j:' .. id, 's')
    if there and not s then there = false end
    seen[id] = true
    if unique ~= '' then holders[unique] = id end
    said[#said + 1] = ''
    -- The same job: its answer was lost, and it is asked for again.
    if not there then jobs[#jobs + 1] = i end
  end
end
if #jobs == 0 then return said end

local seq = call('INCRBY', P .. 'seq', #jobs) - #jobs
local at_once = int(now)
local written = {} -- of bodies, set many at a time
for n, i in ipairs(jobs) do
  local lane, id, p, deadline, unique = lanes[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4], ARGV[i + 5]
  if not lane.l then
    lane.l = int(call('HLEN', P .. 'lanes') + 1)
    call('HSET', P .. 'lanes', lane.key, lane.l)
    call('HSET', P .. 'names', lane.l, lane.key)
    if lane.campaign ~= '' then
      call('HSET', P .. 'l:' .. lane.l, 'campaign', '1')
      call('SADD', P .. 'c:' .. lane.campaign, lane.l)
    end
  end
  local j = {id = id, l = lane.l, p = p, q = int(seq + n), d = ARGV[i + 3], dl = deadline}
  local state = 'delayed'
  if tonumber(j.d) <= now then state, j.d = 'ready', at_once end
  written[#written + 1] = P .. 'r:' .. id
  written[#written + 1] = ARGV[i + 6]
  local fields = {'s', state, 'l', j.l, 'p', p, 'q', j.q, 'c', at_once, 'd', j.d}
  if deadline ~= '0' then
    fields[#fields + 1] = 'dl'; fields[#fields + 1] = deadline
    call('ZADD', P .. 'deadlines', deadline, id)
  end
  if unique ~= '' then
    fields[#fields + 1] = 'u'; fields[#fields + 1] = unique
    call('HSET', P .. 'unique', unique, id)
  end
  call('HSET', P .. 'j:' .. id, unpack(fields))
  call('XADD', P .. 'ids', j.q .. '-0', 'i', id)
  if state == 'ready' then
    push(j)
  else
    call('ZADD', P .. 'd:' .. j.l, j.d, member(j))
    lane.due = true
  end
  local what = state == 'ready' and p or state
  lane.counts[what] = (lane.counts[what] or 0) + 1
  lane.counts.arrived = (lane.counts.arrived or 0) + 1
end
for from = 1, #written, 1000 do
  call('MSET', unpack(written, from, math.min(from + 999, #written)))
end
for _, lane in ipairs(lanes) do
  if lane.due then first_due(lane.l) end
  for what, n in pairs(lane.counts) do
    if #what == 1 then count_ready(lane.l, what, n) else count(lane.l, what, n) end
  end
end
call('INCR', P .. 'news')
return said
