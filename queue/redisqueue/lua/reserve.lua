-- ARGV: a schedule, its rate a second, and how many places. It returns how long it is until
-- the first, in microseconds with two digits after the point. Stored are when the next one
-- is, and when that was written: if the clock was set back since, the schedule moves with it.
even_if_full()
local next, at = string.match(call('HGET', P .. 'schedules', ARGV[2]) or '0 0', '^([%d.]+) (%d+)$')
next, at = tonumber(next or 0), tonumber(at or 0)
if now < at then next = next - (at - now) end
next = math.max(next, now)
local after = math.min(next + math.min(tonumber(ARGV[4]) * 1000000 / tonumber(ARGV[3]), 2^51), LAST)
call('HSET', P .. 'schedules', ARGV[2], string.format('%.2f %.0f', after, now))
return string.format('%.2f', next - now)
