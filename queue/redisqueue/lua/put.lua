-- ARGV: a document's name, the version that it is to have, and what is to be stored: its
-- next version, a space, and the rest; "": nothing. "1" says that it is news. It returns the version that it has
-- if that is another.
local is = string.match(call('HGET', P .. 'documents', ARGV[2]) or '0 ', '^(%d+) ') or '0'
if is ~= ARGV[3] then return is end
if ARGV[4] == '' then call('HDEL', P .. 'documents', ARGV[2]) else call('HSET', P .. 'documents', ARGV[2], ARGV[4]) end
if ARGV[5] == '1' then call('INCR', P .. 'news') end
return ''
