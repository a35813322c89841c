"""`scripts/bench`. Nothing is imported here that the processes of the clients do not need."""

import sys

if __name__ == "__main__":  # they import this module again
    from tools.bench.program import main

    sys.exit(main())
