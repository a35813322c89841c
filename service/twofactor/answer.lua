-- Judge the answer to a login challenge; count it if it is wrong.
--
-- keys        challenge_key · watermark_key, of the enrolment
-- arguments   how: 'totp', 'recovery' or 'wrong' · code_step, for 'totp'
-- Outcomes: 'accepted', and the challenge is used up · 'wrong' · 'gone'

local challenge = redis.call('GET', challenge_key)
if not challenge then return 'gone' end
if #challenge ~= CHALLENGE_BYTES then unknown('the challenge') end
check_clock()

if how == 'recovery' or (how == 'totp' and accept_step(watermark_key, code_step)) then
  if how == 'recovery' then announce_change() end
  redis.call('DEL', challenge_key, challenge_key .. CHALLENGE_ROW)
  return 'accepted'
end

-- user id, enrolment id, wrong tries
local tries = challenge:byte(33) + 1
if tries >= MOST_WRONG_TRIES then
  redis.call('DEL', challenge_key, challenge_key .. CHALLENGE_ROW)
else
  redis.call('SET', challenge_key, challenge:sub(1, 32) .. string.char(tries), 'KEEPTTL')
end
emit('twoFA.challengeFailed', 'tries', tries)
return 'wrong'
