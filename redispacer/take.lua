-- The token bucket of one resource, shared by all processes: its counter is taken from per
-- request and refilled at the rate; below 1 a token is a promise for later, and from
-- horizon ahead on there is none. Time is this server's. Nothing is written before all
-- has been computed.
--
-- KEYS: the bucket, those who use it.
-- ARGV: tokens wanted, rate (0: no limit), burst, tokens given back, of which grant,
--   cool-down in us, requests accepted before it, whether it teaches, who asks, horizon in us,
--   channel, message, whether the asker comes back from a time without Redis
local bucket, members = KEYS[1], KEYS[2]
local want, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local unused, last, hold = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local accepted, learn, who, horizon = tonumber(ARGV[7]), ARGV[8] == '1', ARGV[9], tonumber(ARGV[10])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local names = {'tokens', 'at', 'until', 'number', 'second', 'given', 'before', 'users', 'opens', 'limit', 'busy', 'strikes', 'base', 'spared', 'rough'}
local stored = redis.call('HMGET', bucket, unpack(names))
local b, was = {}, {}
for i, name in ipairs(names) do
	was[name] = tonumber(stored[i] or 0) or 0
	b[name] = was[name]
end

-- A clock that was set back, by a failover perhaps, must not keep the bucket closed.
local longest = 3600 * 1000000
if b['until'] > now + longest then b['until'] = now end
if not stored[1] then b.tokens, b.at, was.tokens = burst, now, nil end -- 0 of them is to be written as well
if b.at > math.max(now, b['until']) then b.at = now end

-- Those that come back all begin at one time: see pacer.Demand.
if ARGV[13] == '1' and (not stored[1] or now - b.at > 1000000) and b.opens < now then b.opens = now + 1000000 end
if b.opens > now + 1000000 then b.opens = now end

-- What was learned: by older and simpler rules than those of one process, see docs/learning.md.
-- A rate that is throttled soon again is lowered by 5, 15 and 30 %. If that has not helped it is
-- noise: the rate is what it was before, and for a minute nothing is learned.
local holdTime, probeGain, climbGain = 22, 0.035, 0.25
local function held() return math.min(150, math.max(holdTime, 50 / math.max(b.limit, 1e-6))) end
local function probing() return b.rough == 1 or b.busy > held() end
local function learned()
	if b.limit == 0 then return math.huge end
	if b.rough == 1 then return b.limit * 2 ^ math.min(b.busy, 30) end
	local probe = b.busy - held()
	if probe <= 0 then return b.limit end
	if probe <= 2 then return b.limit * (1 + probeGain * probe) end
	return b.limit * (1 + 2 * probeGain) * (1 + climbGain) ^ math.min(probe - 2, 90)
end
local configured = rate > 0 and rate or math.huge
local pace = math.min(configured, learned())

-- How many tokens were given out within a second: a window of two halves.
local second = math.floor(now / 1000000)
if second > b.second then
	b.before = second == b.second + 1 and b.given or 0
	b.given, b.second = 0, second
end
local recent = b.given + b.before * (1 - (now % 1000000) / 1000000)

if hold > 0 then
	local another = now >= b['until']
	b['until'] = math.max(b['until'], now + hold)
	if another and learn and now >= b.spared then
		local first, old, probe = b.limit == 0, b.limit, b.limit > 0 and probing()
		local soon = not first and b.rough == 0 and not probe and b.busy < held() / 2
		local limit = math.max(accepted, recent)
		if pace < math.huge then limit = math.min(math.max(limit, pace / 2), pace) else limit = math.max(limit, 1) end
		if probe and b.rough == 0 then limit = math.max(limit, old) end
		b.rough = (first and configured == math.huge) and 1 or 0
		if not soon then
			b.strikes = 0
		else
			b.strikes = b.strikes + 1
			if b.strikes == 1 then b.base, limit = old, math.min(limit, 0.95 * old)
			elseif b.strikes == 2 then limit = math.min(limit, 0.85 * old)
			elseif b.strikes == 3 then limit = math.max(math.min(limit, 0.7 * old), b.base / 100)
			else limit, b.strikes, b.spared = b.base, 0, b['until'] + 60000000 end
		end
		b.limit, b.busy = limit, 0
		pace = math.min(configured, learned())
	end
	-- After it requests leave one by one, and what was promised before is void.
	b.tokens, b.at, b.number = 1, b['until'], b.number + 1
elseif pace < math.huge then
	if now > b.at then
		b.tokens = math.min(burst, b.tokens + (now - b.at) * pace / 1000000)
		b.at = now
	end
	b.tokens = math.max(b.tokens, -horizon * pace / 1000000) -- the rate may have been higher when they were promised
	if unused > 0 and tonumber(last) == b.number then b.tokens = math.min(burst, b.tokens + unused) end
end

local got, from, again = 0, now, math.max(now, b.opens)
if pace == math.huge then
	got = want
elseif b['until'] <= now and b.opens <= now and want > 0 then
	got = math.max(0, math.min(want, math.floor(b.tokens + horizon * pace / 1000000)))
	from = now + (1 - b.tokens) / pace * 1000000
	again = math.max(now, from - horizon)
	b.tokens = b.tokens - got
	b.given = b.given + got
	if got > 0 then
		b.number = b.number + 1
		if b.limit > 0 and b.tokens < 0 then b.busy = b.busy + got / pace end
	end
end

if b.limit > 0 and b.rough == 0 and learned() > configured * 1.04 then b.limit, b.busy = 0, 0 end -- it has grown back

-- Who uses the bucket is noted once a second.
local forget = 10000000
local seen = tonumber(redis.call('ZSCORE', members, who) or 0)
if now - seen > 1000000 or now < seen or b.users == 0 then
	redis.call('ZADD', members, string.format('%.0f', now), who)
	redis.call('ZREMRANGEBYSCORE', members, '-inf', string.format('(%.0f', now - forget))
	redis.call('PEXPIRE', members, forget / 1000)
	b.users = redis.call('ZCARD', members)
end

local fields = {}
for _, name in ipairs(names) do
	if b[name] ~= was[name] then
		fields[#fields + 1] = name
		fields[#fields + 1] = string.format(name == 'tokens' and '%.6f' or '%.16g', b[name])
	end
end
if #fields > 0 then redis.call('HSET', bucket, unpack(fields)) end
-- An idle bucket is full, and need not be remembered; what was learned is, for an hour.
local keep = 60000 + (pace < math.huge and burst / pace * 1000 or 0) + math.max(0, b['until'] - now) / 1000
if b.limit > 0 then keep = math.max(keep, 3600000) end
redis.call('PEXPIRE', bucket, string.format('%.0f', keep))
if hold > 0 then redis.call('PUBLISH', ARGV[11], ARGV[12]) end

local function text(n) return n == math.huge and '0' or string.format('%.17g', n) end -- a rate may be one in days
return {got, b.number, text(from), text(again), text(b['until']), text(now), text(pace), text(b.limit), b.users}
