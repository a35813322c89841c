-- How many sessions of the user live. For operators: no request asks.
--
-- Outcome: the number

return #(all_living())
