-- ARGV: the place to begin after, how many at most, and what to pick from: "sid" and a
-- SID, "look" and a time, or "index" and names of sorted sets. It returns place and ID of
-- each, in no order.
local found, from, max = {}, '(' .. ARGV[2], ARGV[3]
local function by_id(ids)
  for _, id in ipairs(ids) do
    local q = pcall('HGET', P .. 'j:' .. id, 'q')
    if whole(q) and tonumber(q) > tonumber(ARGV[2]) then found[#found + 1] = q; found[#found + 1] = id end
  end
end
if ARGV[4] == 'sid' then
  local ids = {}
  for id in string.gmatch(call('HGET', P .. 'sids', ARGV[5]) or '', '[^\n]+') do ids[#ids + 1] = id end
  by_id(ids)
elseif ARGV[4] == 'look' then
  by_id(call('ZRANGEBYSCORE', P .. 'looks', '-inf', '(' .. ARGV[5]))
else
  for i = 5, #ARGV do
    if ARGV[i] == 'leases' then
      by_id(call('ZRANGE', P .. 'leases', 0, -1))
    else
      local z = call('ZRANGEBYSCORE', P .. ARGV[i], from, '+inf', 'WITHSCORES', 'LIMIT', 0, max)
      for k = 1, #z, 2 do found[#found + 1] = int(z[k + 1]); found[#found + 1] = z[k] end
    end
  end
end
return found
