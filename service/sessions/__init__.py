"""Refresh sessions: tokens, the record behind them, and their use cases with their Lua."""
