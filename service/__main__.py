"""`python -m service <command>`."""

import sys

from service.cli.program import main

if __name__ == "__main__":  # worker processes import this module again
    sys.exit(main())
