-- ARGV: a bucket, and until when.
even_if_full()
if tonumber(ARGV[3]) <= now then call('HDEL', P .. 'parks', ARGV[2]) else call('HSET', P .. 'parks', ARGV[2], ARGV[3]) end
call('INCR', P .. 'news')
return 1
