-- Tell how long each limit makes one wait, ms.
--
-- lists, limits: as in waits.lua

return (waits())
