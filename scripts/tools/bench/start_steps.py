"""Takes the steps of a start of `serve` one after the other, and prints what each took as JSON.

The steps are those of `service.cli.program`, in their order. `python -m tools.bench.start_steps`
"""

import json
import os
import time


def main() -> None:
    """Take the steps in this process, as its environment says."""
    taken = {"Python itself": (time.process_time(), 0.0)}
    began = time.perf_counter(), time.process_time()

    def done(step: str) -> None:
        nonlocal began
        now = time.perf_counter(), time.process_time()
        taken[step] = now[1] - began[1], now[0] - began[0]
        began = now

    from service.cli.program import _parser

    _parser().parse_args(["serve"])
    done("the command line is read")
    from service.serving.imports import begin_imports

    begin_imports()
    import asyncio

    from service.database.migration import migrate
    from service.redis.requirements import check_server
    from service.settings import Settings

    settings = Settings.from_environment(os.environ)
    done("imports, without the web framework")
    asyncio.run(check_server(settings.redis_url, settings.issuer))
    done("Redis is asked")
    migrate(settings.database_url.reveal())
    done("tables are looked at")
    from service.app import create_app
    from service.serving import start

    done("imports, the rest")
    app = create_app(settings)
    done("the app is put together")
    asyncio.run(start._rehearse(app))
    done("it starts and stops once")
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
