-- Write what every change could have written, and tell the time and which rights are missing.
--
-- KEYS[1]   the barrier of a bucket
-- constants KINDS, COMMANDS: what our scripts need, separated by spaces; LIFE of the barrier, ms
--
-- Outcome: {kinds and commands that our user may not use, seconds, microseconds of Redis' clock}
local missing = {}
for command in COMMANDS:gmatch('%S+') do
  local behind = command:sub(1, 4) == 'EVAL' and { 'x', '1', KEYS[1] } or { KEYS[1] }
  if not redis.acl_check_cmd(command, unpack(behind)) then
    missing[#missing + 1] = command
  end
end
local tag = KEYS[1]:match('{%x%x}')
for kind in KINDS:gmatch('%S+') do
  if not redis.acl_check_cmd('DEL', kind .. ':' .. tag .. ':x') then
    missing[#missing + 1] = kind .. ':*'
  end
end
redis.call('SET', KEYS[1], '', 'PX', LIFE)
local now = redis.call('TIME')
return { missing, now[1], now[2] }
