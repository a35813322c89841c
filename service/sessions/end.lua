-- Log out: end the session that a refresh token of ours belongs to, be the token spent or not.
-- The token's MAC has proved that it was minted for this user and session.
--
-- ARGV[7] session id
-- Outcome: 1 ended now, 0 there was no such session any more

local sid = ARGV[7]
local digest = redis.call('HGET', index, sid)
if not digest or not finish(sid, session_prefix .. digest) then return 0 end
emit('user.loggedOut', sid)
return 1
