-- ARGV: how many Delayed jobs that are due to make Ready. It returns how many it has, when
-- the next is due ("0": none), how many entries the intake has, and the time.
local left, limit = tonumber(ARGV[2]), tonumber(ARGV[2])
local first = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
while left > 0 and first[2] and tonumber(first[2]) <= now do
  even_if_full()
  local l = first[1]
  local ms = call('ZRANGEBYSCORE', P .. 'd:' .. l, '-inf', int(now), 'LIMIT', 0, left)
  if #ms == 0 then first_due(l) end
  for _, m in ipairs(ms) do
    local j = load(string.sub(m, 17))
    if j and j.s == 'delayed' and j.l == l and member(j) == m then
      become(j, 'ready', {})
    else -- not the job's, or damaged
      call('ZREM', P .. 'd:' .. l, m)
      first_due(l)
      if j == nil then condemn(string.sub(m, 17), {s = 'delayed', l = l, q = seq(m)}) end
    end
    left = left - 1
  end
  first = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
end
local waits = pcall('XLEN', P .. 'in')
return {limit - left, first[2] and int(first[2]) or '0', type(waits) == 'number' and waits or 0, now}
