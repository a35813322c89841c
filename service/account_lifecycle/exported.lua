-- Note that all that is kept of the user was handed out.
--
-- by: who asked    reason: why, '' if nobody said

if reason == '' then emit('user.exported', 'by', by)
else emit('user.exported', 'by', by, 'reason', reason) end
