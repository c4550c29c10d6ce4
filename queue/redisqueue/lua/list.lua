-- ARGV: the place to begin after, how many jobs to look at, states and lanes' numbers
-- (each between commas; "": any). It returns the place it has come to ("": the end), and
-- of those that match place and ID.
local found = {''}
local es = call('XRANGE', P .. 'ids', int(ARGV[2] + 1) .. '-0', '+', 'COUNT', ARGV[3])
for _, e in ipairs(es) do
  local q, id = string.match(e[1], '^%d+'), e[2][2]
  local match = true
  if ARGV[4] ~= '' or ARGV[5] ~= '' then
    local v = pcall('HMGET', P .. 'j:' .. id, 's', 'l')
    match = not v.err and (ARGV[4] == '' or v[1] and string.find(ARGV[4], ',' .. v[1] .. ',', 1, true)) and
      (ARGV[5] == '' or v[2] and string.find(ARGV[5], ',' .. v[2] .. ',', 1, true))
  end
  if match then found[#found + 1] = q; found[#found + 1] = id end
  if #es == tonumber(ARGV[3]) then found[1] = q end
end
return found
