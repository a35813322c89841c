"""The second factor: TOTP, enrolment, login challenges, recovery codes, with their Lua."""
