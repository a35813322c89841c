-- Before rate_limits/waits.lua, in a script whose calls are limited.
--
-- key calls_key, the list of when it was called    calls_most, calls_window, calls_life: as `Limit.numbers` has
-- them; no limit where calls_most is 0

local lists, limits = {calls_key}, {calls_most, calls_window, 0, calls_life}
