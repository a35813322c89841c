-- Write what every change could have written, and tell the time and which rights are missing.
--
-- key barrier, of a bucket
-- constants KINDS, COMMANDS: what our scripts need, separated by spaces; LIFE of the barrier, ms
--
-- Outcome: {kinds and commands that our user may not use, seconds, microseconds of Redis' clock}
local missing = {}
for command in COMMANDS:gmatch('%S+') do
  local name, part = command:match('^(%u+)|?(%u*)$')
  local behind = { barrier }
  if name:sub(1, 4) == 'EVAL' then behind = { 'x', '1', barrier } end
  if part ~= '' then behind = { part, barrier } end
  if not redis.acl_check_cmd(name, unpack(behind)) then
    missing[#missing + 1] = command
  end
end
local bucket = barrier:match('{%x%x}')
for kind in KINDS:gmatch('%S+') do
  if not redis.acl_check_cmd('DEL', kind .. ':' .. bucket .. ':x') then
    missing[#missing + 1] = kind .. ':*'
  end
end
redis.call('SET', barrier, '', 'PX', LIFE)
local now = redis.call('TIME')
return { missing, now[1], now[2] }
