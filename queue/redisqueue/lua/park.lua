-- ARGV: a bucket, for how many microseconds, why, and Twilio's code. It returns until when; "0": not
-- at all. The hash parks has the ends. The hash holds has the end again, the beginning, the code and the
-- reason. A version of pacer that has no reasons writes parks alone.
even_if_full()
local bucket, why, ends = ARGV[2], ARGV[4], tonumber(ARGV[3]) <= 0
local text = call('HGET', P .. 'parks', bucket) or '0'
local was = tonumber(text) or 0
local of, since, reason = string.match(call('HGET', P .. 'holds', bucket) or '', '^(%d+) (%d+) %d+ (.*)$')
if of ~= text then since, reason = nil, nil end
if reason == PERSON and was > now and why ~= PERSON and not (ends and why == '') then return text end
local until_when = '0'
if ends then
  call('HDEL', P .. 'parks', bucket)
  call('HDEL', P .. 'holds', bucket)
else
  until_when = int(now + ARGV[3])
  if reason ~= why or now - was >= 60000000 then since = int(now) end
  call('HSET', P .. 'parks', bucket, until_when)
  call('HSET', P .. 'holds', bucket, until_when .. ' ' .. since .. ' ' .. ARGV[5] .. ' ' .. why)
end
call('INCR', P .. 'news')
return until_when
