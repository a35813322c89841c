"""What each start would find out anew, though it is the same for all.

Programs are forked from a process that has imported this (`forked.py`). Nothing here depends on
settings, arguments or environment, and nothing is open afterwards that a fork would share.
"""

from functools import cache

from service.accounts.password_policy import SHORTEST, common_passwords
from service.cli import program

common_passwords(SHORTEST)
program._parser = cache(program._parser)
program._parser()
