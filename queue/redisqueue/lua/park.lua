-- ARGV: a bucket, and for how many microseconds. It returns until when; "0": not at all.
even_if_full()
local until_when = '0'
if tonumber(ARGV[3]) > 0 then
  until_when = int(now + ARGV[3])
  call('HSET', P .. 'parks', ARGV[2], until_when)
else
  call('HDEL', P .. 'parks', ARGV[2])
end
call('INCR', P .. 'news')
return until_when
