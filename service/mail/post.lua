-- Keep a message until it is sent, and the ticket that is in it: both, or neither.
--
-- keys box, of the bucket · ticket_key · sent_key, of the user and purpose
-- message_id · message: sealed; '' to nobody: the same is done, and nothing of it stays
-- record: the ticket's, '' for none · field: its digest where a user has several, else ''
-- life: of the ticket, ms · waiting_most: messages that may wait in a bucket
-- most_an_hour, most_a_day: mails of the purpose to this user; '0' for no limit
-- event: what is told of it, '' for nothing · reason and by, '' for none · purpose: of the message
-- Outcomes: {'posted', when the ticket expires, ms since 1970} · {'suppressed'} · {'full'}

local fields = {}
if reason ~= '' then fields = {'reason', reason} end
if by ~= '' then fields[#fields + 1], fields[#fields + 2] = 'by', by end
local now = now_ms()
if message == '' then
  redis.call('SET', ticket_key, record .. message_id, 'PX', 1)
  return {'posted', now + life}
end
if redis.call('XLEN', box) >= tonumber(waiting_most) then
  emit('mail.suppressed', 'purpose', purpose, 'reason', 'full')
  return {'full'}
end
if most_a_day ~= '0' and is_suppressed(sent_key) then
  emit('mail.suppressed', 'purpose', purpose, 'reason', 'limit')
  return {'suppressed'}
end
if record ~= '' and field == '' then
  redis.call('SET', ticket_key, record, 'PX', life)
elseif record ~= '' then
  redis.call('HSET', ticket_key, field, struct.pack('>I6', now) .. record)
  redis.call('PEXPIRE', ticket_key, life)
end
local is_new = redis.call('EXISTS', box) == 0
redis.call('XADD', box, '*', 'user', user, 'id', message_id, 'sealed', message)
if is_new then redis.call('XGROUP', 'CREATE', box, GROUP, '0') end
redis.call('PEXPIRE', box, OUTBOX_LIFE)
if event ~= '' then emit(event, unpack(fields)) end
return {'posted', now + life}
