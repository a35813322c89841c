-- Before the scripts that ask where a session is.

-- The network of a packed origin (that of `network` in origin.py), and its user agent.
local function network(client)
  local length = client:byte(1)
  local address, user_agent = client:sub(2, length + 1), client:sub(length + 2)
  if length == 16 then
    local before = address:sub(1, 12) -- an IPv4 address, behind one of the two of `plain`
    if before ~= string.rep('\0', 10) .. '\255\255'
      and before ~= '\0d\255\155' .. string.rep('\0', 8) then
      return '6' .. address:sub(1, 8), user_agent
    end
    address = address:sub(13)
  end
  return address:sub(1, 3), user_agent
end
