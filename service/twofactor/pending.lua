-- After sessions/prelude.lua, before the scripts that replace or confirm a pending enrolment.

-- The pending enrolment: id, wrong tries, confirming step (0: none), sealed secrets.
local function pending_of(key)
  local pending = redis.call('GET', key)
  if pending and #pending ~= PENDING_BYTES then unknown('the pending enrolment') end
  return pending
end
