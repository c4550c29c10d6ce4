-- The token bucket of one resource, shared by all processes: its counter is taken from per
-- request and refilled at the rate; below 1 a token is a promise for later, and from
-- horizon ahead on there is none. Time is this server's.
--
-- What throttled answers teach is not decided here. One process, the learner, learns for all. The
-- others send it their counts of answers, and all have the pace that it has found.
--
-- KEYS: the bucket, those who use it, those who wait for a token.
-- ARGV: tokens wanted, rate (0: no limit), burst, tokens given back, of which grant,
--   cool-down in us, requests accepted and throttled since the asker's last demand, whether the
--   asker can be the learner, the pace and the limit that it has learned as such (0: none; a
--   pace below 0: it is not the learner), who asks, horizon in us, channel, message, whether the asker comes back from a time
--   without Redis, the demand's number, and in how many us Twilio said to try again (0: calls
--   wait for the cool-down).
local bucket, members, line = KEYS[1], KEYS[2], KEYS[3]
local want, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local unused, last, hold = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local accepted, throttled, learns = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'
local learned_pace, learned_limit = tonumber(ARGV[10]), tonumber(ARGV[11])
local who, horizon, id, retry = ARGV[12], tonumber(ARGV[13]), ARGV[17], tonumber(ARGV[18])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local names = {'tokens', 'at', 'until', 'held', 'retry', 'number', 'seen', 'users', 'waiting', 'opens', 'pace', 'limit', 'taught', 'heard', 'ok', 'no', 'void', 'taken'}
local mine = (want > 0 and 'p:' or 'r:') .. who -- what this process was given, or has reported, last
local stored = redis.call('HMGET', bucket, 'learner', mine, unpack(names))
local learner, before = stored[1] or '', stored[2] or ''
local b, was = {}, {}
for i, name in ipairs(names) do
	local n = tonumber(stored[i + 2] or 0) or 0
	was[name], b[name] = n, n == n and n or 0
end

-- A clock that was set back, by a failover perhaps, goes on from where it was. A cool-down must
-- not last longer for it.
if b.seen > now then
	for _, name in ipairs({'at', 'until', 'retry', 'opens', 'taught', 'heard', 'taken'}) do b[name] = math.max(0, b[name] - (b.seen - now)) end
	redis.call('ZREMRANGEBYSCORE', members, '-inf', '+inf')
	redis.call('ZREMRANGEBYSCORE', line, '-inf', '+inf')
	b.users, b.waiting = 0, 0
end
b.seen = now
if b['until'] > now + b.held then b['until'] = now end
if not stored[3] then b.tokens, b.at, was.tokens = burst, now, nil end -- 0 of them is to be written as well
if b.at > math.max(now, b['until']) then b.at = now end

-- Those that come back all begin at one time: see pacer.Demand.
if ARGV[16] == '1' and (not stored[3] or now - b.taken > 1000000) and b.opens < now then b.opens = now + 1000000 end
if b.opens > now + 1000000 then b.opens = now end

-- A demand that comes twice, since its answer was late, is answered as before, and does nothing.
local _, _, old_got, old_number, old_from, old_id = string.find(before, '^(%d+) (%d+) (%d+) (%d+)$')
local repeated = old_id == id
if repeated then unused, hold, accepted, throttled = 0, 0, 0, 0 end

-- Who learns, and what was learned.
local heeding = 60000000
if hold > 0 or throttled > 0 then b.heard = now end
local heeded = b.pace > 0 or now - b.heard < heeding
local is = learns and who == learner and learned_pace >= 0
local ok, no = 0, 0
-- A learner that asks no longer is replaced. With many processes each of them asks rarely.
local slow = b.pace > 0 and b.pace or rate > 0 and rate or math.huge
local quiet = math.max(2000000, math.min(10000000, 3 * b.users / slow * 1000000))
if heeded and learns and not is and (who == learner or now - b.taught > quiet) then
	learner, is = who, true -- it goes on from the pace that was found
elseif is then
	b.pace, b.limit = learned_pace, learned_limit
elseif heeded then
	b.ok, b.no = b.ok + accepted, b.no + throttled
end
if is then
	b.taught, ok, no = now, b.ok, b.no
	b.ok, b.no = 0, 0
end

local pace = rate > 0 and rate or math.huge
if b.pace > 0 then pace = math.min(pace, b.pace) end

local given = 0 -- back
if hold > 0 then
	if now + hold > b['until'] then b['until'], b.held = now + hold, hold end
	if retry > 0 then b.retry = math.max(b.retry, now + retry) end
	-- After it requests leave one by one, and what was promised before is void.
	b.tokens, b.at, b.number = 1, b['until'], b.number + 1
	b.void = b.number
elseif pace < math.huge then
	if now > b.at then
		b.tokens = math.min(burst, b.tokens + (now - b.at) * pace / 1000000)
		b.at = now
	end
	b.tokens = math.max(b.tokens, -horizon * pace / 1000000) -- the rate may have been higher when they were promised
	if unused > 0 and tonumber(last) == b.number then
		b.tokens = math.min(burst, b.tokens + unused)
		given = unused
	end
end
if b['until'] <= now or b.retry <= now then b.retry = 0 end

-- Processes that find no token stand in line, in the order in which they came. Each is told when to
-- come again, and has a claim to one token until some time after that.
local patience, day = 500000, 86400000000
if b.waiting > 0 then
	redis.call('ZREMRANGEBYSCORE', line, '-inf', string.format('(%.0f', now - patience))
	b.waiting = redis.call('ZCARD', line)
end

local got, number, from, again = 0, b.number, now, math.max(now, b.opens)
if repeated and tonumber(old_got) > 0 and tonumber(old_number) > b.void then
	got, number, from = tonumber(old_got), tonumber(old_number), tonumber(old_from)
elseif pace == math.huge then
	got = want
elseif b['until'] <= now and b.opens <= now and want > 0 then
	local rank = b.waiting > 0 and redis.call('ZRANK', line, who)
	local ahead = rank or b.waiting
	local others = rank and b.waiting - 1 or b.waiting
	if given > 0 then ahead = 0 end -- it exchanges a token
	local room = b.tokens + horizon * pace / 1000000
	got = math.max(0, math.min(want, math.floor(room - ahead)))
	if others > 0 then got = math.min(got, math.max(1, math.floor(room / (others + 1)))) end
	if got > 0 and rank then
		redis.call('ZREM', line, who)
		b.waiting = b.waiting - 1
	elseif got == 0 then
		again = math.min(now + day, now + math.max(0, ahead + 1 - room) / pace * 1000000 + 1000)
		redis.call('ZADD', line, string.format('%.0f', again), who)
		redis.call('PEXPIRE', line, string.format('%.0f', (again - now + 2 * patience) / 1000))
		if not rank then b.waiting = b.waiting + 1 end
	end
	if got > 0 then
		-- Of a bucket that is slow and large, the time of the first may be long ago.
		if pace < 1e-6 then got = 1 elseif pace < 1e-3 and b.tokens >= 1 then got = math.min(got, math.floor(b.tokens)) end
		from = now + (1 - b.tokens) / pace * 1000000
		if from < now then from = math.max(from, now - (pace < 1e-6 and day or got / pace * 1000000)) end
		b.tokens = b.tokens - got
		b.number = b.number + 1
		number, b.taken = b.number, now
	end
end

-- Who uses the bucket is noted once a second.
local forget = 10000000
local seen = tonumber(redis.call('ZSCORE', members, who) or 0)
local gone = {}
if now - seen > 1000000 or now < seen or b.users == 0 then
	redis.call('ZADD', members, string.format('%.0f', now), who)
	for _, name in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', string.format('(%.0f', now - forget))) do
		gone[#gone + 1] = 'p:' .. name
		gone[#gone + 1] = 'r:' .. name
	end
	redis.call('ZREMRANGEBYSCORE', members, '-inf', string.format('(%.0f', now - forget))
	redis.call('PEXPIRE', members, forget / 1000)
	b.users = redis.call('ZCARD', members)
end

local fields = {mine, string.format('%.0f %.0f %.0f ', got, number, from) .. id}
if learner ~= (stored[1] or '') then fields[3], fields[4] = 'learner', learner end
for _, name in ipairs(names) do
	if b[name] ~= was[name] then
		fields[#fields + 1] = name
		fields[#fields + 1] = string.format(name == 'tokens' and '%.6f' or '%.16g', b[name])
	end
end
redis.call('HSET', bucket, unpack(fields))
if #gone > 0 then redis.call('HDEL', bucket, unpack(gone)) end
-- An idle bucket is full, and need not be remembered; what was learned is, for an hour.
local keep = 60000 + (pace < math.huge and burst / pace * 1000 or 0) + math.max(0, b['until'] - now) / 1000
if b.pace > 0 then keep = math.max(keep, 3600000) end
redis.call('PEXPIRE', bucket, string.format('%.0f', math.min(keep, 1e12)))
if hold > 0 then redis.call('PUBLISH', ARGV[14], ARGV[15]) end

local function text(n) return n == math.huge and '0' or string.format('%.17g', n) end -- a rate may be one in days
return {got, number, text(from), text(again), text(b['until']), text(now), text(pace), text(b.limit), b.users, text(b.retry), is and 1 or 0, ok, no, heeded and 1 or 0}
