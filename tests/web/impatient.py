"""`python -m service`, but with short deadlines for its clients, so that tests need not wait."""

import os
import sys

from service.cli.program import main
from service.serving.server import Server
from service.web.deadlines import Deadlines

BODY = float(os.environ.pop("IMPATIENT_BODY", "1"))

Server.deadlines = Deadlines(
    first_byte=0.5,
    head=0.75,
    body=BODY,
    whole_body=4 * BODY,
    answer=BODY,
    whole_answer=20 * BODY,
    idle=1.5,
    linger=0.5,
)

if __name__ == "__main__":
    sys.exit(main())
