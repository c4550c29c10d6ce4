-- ARGV: a campaign, and how many of its waiting jobs to cancel. It returns how many it has.
even_if_full()
local left = tonumber(ARGV[3])
local function cancel(id, known)
  local j = load(id)
  if j and WAITING[j.s] then
    become(j, 'cancelled', {})
    left = left - 1
  elseif j == nil and condemn(id, known) then
    left = left - 1
  end
end
for _, l in ipairs(call('SMEMBERS', P .. 'c:' .. ARGV[2])) do
  for _, p in ipairs({'h', 'n', 'l'}) do
    for _, m in ipairs(call('ZRANGE', P .. 'b:' .. l .. ':' .. p, 0, left - 1)) do
      if left > 0 then cancel(string.sub(m, 17), {s = 'ready', l = l, p = p, q = seq(m)}) end
    end
    -- From the end: at the beginning are those that are claimed.
    local from = '+'
    while left > 0 do
      local es = pcall('XREVRANGE', P .. 's:' .. l .. ':' .. p, from, '-', 'COUNT', 100)
      if es.err or #es == 0 then break end
      for _, e in ipairs(es) do
        local d, q = string.match(e[1], '(%d+)-(%d+)')
        if left > 0 then cancel(e[2][2], {s = 'ready', l = l, p = p, q = q, d = d}) end
        from = '(' .. e[1]
      end
    end
  end
  for _, m in ipairs(left > 0 and call('ZRANGE', P .. 'd:' .. l, 0, left - 1) or {}) do
    if left > 0 then cancel(string.sub(m, 17), {s = 'delayed', l = l, q = seq(m)}) end
  end
end
return tonumber(ARGV[3]) - left
