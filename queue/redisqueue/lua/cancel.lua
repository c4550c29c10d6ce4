-- ARGV: a campaign, and how many of its waiting jobs to cancel. It returns how many it has.
even_if_full()
local left = tonumber(ARGV[3])
local function cancel(id)
  local j = load(id)
  if j and WAITING[j.s] then
    become(j, 'cancelled', {})
    left = left - 1
  end
end
for _, l in ipairs(call('SMEMBERS', P .. 'c:' .. ARGV[2])) do
  for _, p in ipairs({'h', 'n', 'l'}) do
    for _, m in ipairs(call('ZRANGE', P .. 'b:' .. l .. ':' .. p, 0, left - 1)) do
      if left > 0 then cancel(string.sub(m, 17)) end
    end
    -- From the end: at the beginning are those that are claimed.
    local from = '+'
    while left > 0 do
      local es = pcall('XREVRANGE', P .. 's:' .. l .. ':' .. p, from, '-', 'COUNT', 100)
      if es.err or #es == 0 then break end
      for _, e in ipairs(es) do
        if left > 0 then cancel(e[2][2]) end
        from = '(' .. e[1]
      end
    end
  end
  for _, m in ipairs(left > 0 and call('ZRANGE', P .. 'd:' .. l, 0, left - 1) or {}) do
    if left > 0 then cancel(string.sub(m, 17)) end
  end
end
return tonumber(ARGV[3]) - left
