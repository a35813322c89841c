-- End the sessions of everybody in a bucket: whatever was opened by now is over.
--
-- keys        events · before, the cut-off of everybody · revoked, revocations as in feed.lua
-- arguments   user: '', as it is nobody's · ip, request as in prelude.lua · reason, by of the event
-- Outcome: the number of the entry in the feed
-- Nothing is deleted: who looks for a session compares when it was opened (everybody.lua), and records
-- and indexes go when their time is over.

-- Cut-offs of one user within a millisecond put the next one, and the sessions after it, a millisecond
-- later each (cut_off.lua). Of a script that takes five microseconds there are not more than these.
local AHEAD = 256

local last = redis.call('GET', before) or 0
local at = emit('sessions.cutOff', 'reason', reason, 'by', by):match('^%d+')
local t = math.max(now_ms(), at, last) + AHEAD
redis.call('SET', before, t)
return tell_guards('g', 1, 't', t)
