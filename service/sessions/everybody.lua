-- Before the scripts that ask whether a session lives: what a cut-off of everybody has ended. Its key is
-- BEFORE .. tag:sub(1, 4), since the tag goes on with a colon.

-- Whether a session was opened before `before`, what that key holds (ms), or just then.
local function is_over(record, before)
  return before and #record > 10 and struct.unpack('>I6', record, 6) <= tonumber(before)
end
