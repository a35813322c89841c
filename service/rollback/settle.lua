-- Number a bucket's feed on, after redo.lua: from now on it is served again.
--
-- keys        events · before, revocations, revoked, of the bucket · floor, of its TOTP steps
--             tickets, the same of its tickets
-- arguments   user, ip, request: '' · bucket · had, expected · replayed: how many entries were done again
--             cut: '1' to end all sessions in the bucket, as not all of them is known · ahead: steps that
--             codes may be early by
-- Outcome: the number, or -1: it is another than `had`, somebody else was faster

if (redis.call('GET', revocations) or '0') ~= had then return -1 end
local now = now_ms()

-- Which codes have been used just now is not known, so all have; nor which tickets of before.
redis.call('SET', tickets, string.format('%.0f', now))
redis.call('SET', floor, string.format('%.0f', math.floor(now / STEP) + ahead))

emit('redis.wentBack', 'bucket', bucket, 'had', had, 'expected', expected, 'replayed', replayed,
  'cutOff', cut == '1' and 'true' or 'false')
if cut == '1' then
  local last = tonumber(redis.call('GET', before) or 0)
  local at = emit('sessions.cutOff', 'reason', 'redisWentBack', 'by', 'system'):match('^%d+')
  -- As in cut_off_everybody.lua.
  local t = string.format('%.0f', math.max(now + AHEAD, tonumber(at) + AHEAD, last + AHEAD))
  redis.call('SET', before, t)
  local newest = redis.call('XREVRANGE', revoked, '+', '-', 'COUNT', 1)[1]
  local told = math.max(newest and tonumber(newest[2][2]) or 0, tonumber(had))
  expected = math.max(expected, told + 1)
  -- Each number that is missing says it, so that guards miss none; of very many the last.
  local first = math.max(told + 1, expected - MOST_TOLD)
  for further = 0, expected - first do -- which ends, whatever is expected
    redis.call('XADD', revoked, '*', 'n', string.format('%.0f', first + further), 'g', 1, 't', t)
  end
end
redis.call('SET', revocations, string.format('%.0f', expected))
return tonumber(expected)
