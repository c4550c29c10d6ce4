-- ARGV: lanes' numbers. It returns for each since when its first Ready job has been due.
local all = {}
for i = 2, #ARGV do
  local best
  for _, p in ipairs({'h', 'n', 'l'}) do
    local d = call('ZRANGE', P .. 'b:' .. ARGV[i] .. ':' .. p, 0, 0, 'WITHSCORES')[2]
    if d and (not best or tonumber(d) < best) then best = tonumber(d) end
    local key = P .. 's:' .. ARGV[i] .. ':' .. p
    local groups = pcall('XINFO', 'GROUPS', key)
    for _, g in ipairs(groups.err and {} or groups) do
      local of = {}
      for k = 1, #g, 2 do of[g[k]] = g[k + 1] end
      local e = of.name == 'w' and call('XRANGE', key, '(' .. of['last-delivered-id'], '+', 'COUNT', 1)[1]
      d = e and tonumber(string.match(e[1], '^%d+'))
      if d and (not best or d < best) then best = d end
    end
  end
  all[#all + 1] = best and int(best) or '0'
end
return all
