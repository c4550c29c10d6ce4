-- ARGV: ID, token, states it may be in (each between commas), claim, state, "1" for no
-- deadline, due and look (from now, "0": none), looked, attempt, reported, lease, "1" for an outcome, SID, reason,
-- the rest of it. It returns "ok", "none", or the state and the claim that it is at.
even_if_full()
local j = load(ARGV[2])
if j == nil then j = condemn(ARGV[2], {}) or {s = 'in doubt', n = '0', lost = true} end
if not j then return {'none'} end
if j.x == ARGV[3] then return {'ok'} end -- it was done, and the answer lost
if j.lost or not string.find(ARGV[4], ',' .. j.s .. ',', 1, true) or ARGV[5] ~= '0' and ARGV[5] ~= j.n then return {'state', j.s, j.n} end
local function from_now(us) return us ~= '0' and int(math.max(1, now + us)) or nil end
become(j, ARGV[6], {
  token = ARGV[3], no_deadline = ARGV[7] == '1', due = from_now(ARGV[8]), look = from_now(ARGV[9]), looked = ARGV[10] == '1',
  attempt = ARGV[11] == '1', reported = ARGV[12] == '1', lease = tonumber(ARGV[13]),
  outcome = ARGV[14] == '1', sid = ARGV[15], reason = ARGV[14] == '1' and ARGV[16] or nil, rest = ARGV[17],
})
return {'ok'}
