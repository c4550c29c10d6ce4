-- ARGV: an ID. It returns its place in the order of Add; of a job that is not there any
-- more, where it was, as far as the IDs of the others tell: those of one process are in
-- that order.
local q = pcall('HGET', P .. 'j:' .. ARGV[2], 'q')
if whole(q) then return q end
local function at(e) return e[1] and tonumber(string.match(e[1][1], '^%d+')) end
local low, high, best = at(call('XRANGE', P .. 'ids', '-', '+', 'COUNT', 1)), at(call('XREVRANGE', P .. 'ids', '+', '-', 'COUNT', 1)), 0
while low and low <= high do
  local e = call('XRANGE', P .. 'ids', int(math.floor((low + high) / 2)) .. '-0', '+', 'COUNT', 1)
  if not e[1] or e[1][2][2] > ARGV[2] then
    high = math.floor((low + high) / 2) - 1
  else
    best = at(e)
    low = best + 1
  end
end
return int(best)
