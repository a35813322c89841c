-- Judge the answer to a login challenge; count it if it is wrong.
--
-- KEYS[3] challenge:{b}:<digest>    KEYS[4] totp:{b}:<enrolment id>
-- ARGV[5] 'totp', 'recovery' or 'wrong'    ARGV[6] the step, for 'totp'
-- ARGV[7] life of the watermark, ms
-- Outcomes: 'accepted', and the challenge is used up · 'wrong' · 'gone'

local challenge = redis.call('GET', KEYS[3])
if not challenge then return 'gone' end
if #challenge ~= CHALLENGE_BYTES then unknown('the challenge') end
check_clock()

if ARGV[5] == 'recovery' or (ARGV[5] == 'totp' and accept_step(KEYS[4], ARGV[6], ARGV[7])) then
  if ARGV[5] == 'recovery' then announce_change() end
  redis.call('DEL', KEYS[3])
  return 'accepted'
end

-- user id, enrolment id, wrong tries
local tries = challenge:byte(33) + 1
if tries >= MOST_WRONG_TRIES then
  redis.call('DEL', KEYS[3])
else
  redis.call('SET', KEYS[3], challenge:sub(1, 32) .. string.char(tries), 'KEEPTTL')
end
emit('twoFA.challengeFailed', 'tries', tries)
return 'wrong'
