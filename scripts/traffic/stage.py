"""Where runs happen: one target, one crowd, one locust environment, for a run or for several."""

import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from locust.env import Environment

from traffic import arrivals, joining
from traffic.arrivals import Crew, Plan
from traffic.calls import Calls
from traffic.errands import Errands
from traffic.errors import UnusableError
from traffic.figures import Summary
from traffic.options import Options
from traffic.people import Crowd
from traffic.record import Record
from traffic.summing import Made, summarise
from traffic.target import Target
from traffic.thresholds import Thresholds
from traffic.tokens import TokenFile
from traffic.watch import Watch
from traffic.wire import Connections

Meanwhile = Callable[[Crew], None]


class Stage:
    """Use it with `with`: at the end, those of the token file are put back."""

    def __init__(self, target: Target, options: Options) -> None:
        """Raises UnusableError."""
        self.target = target
        self._options = options
        self._environment = Environment(host=target.url, user_classes=[arrivals.Arrivals])
        self._connections = Connections(target, options.patience)
        self._calls = Calls(self._environment, self._connections, target, options.plan.mix.shed)
        self._file = TokenFile(options.tokens) if options.tokens else None
        self._at_once = options.people or (1000 if self._file else 100)
        self._crowd = Crowd((), self._at_once)
        self._errands = Errands(self._calls, self._crowd)
        Watch(list(options.watch))  # says now what it cannot do

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connections.close()
        if self._file is not None:
            self._file.put_back(self._crowd.everybody())

    def gather(self, plan: Plan) -> None:
        """See to it that there are people for this.

        Raises:
            UnusableError: there are not enough, or the service does not want them.
        """
        there = self._crowd.present + self._crowd.reserve
        missing = self._at_once + joining.sessions_used_up(plan) - there
        if missing <= 0:
            return
        if self._file is None:
            people = joining.signed_up(self._calls, missing)
        else:
            people = joining.from_file(self._file, missing)
            joining.refresh_stale(self._errands, people)
        self._crowd.join(people)

    def run(self, plan: Plan, thresholds: Thresholds, meanwhile: Meanwhile) -> Summary:
        """One run, judged.

        Raises:
            UnusableError: nobody was answered.
        """
        gc.collect()
        gc.freeze()  # people and tokens: the collector need not walk through them again and again
        began, watch = datetime.now(UTC), Watch(list(self._options.watch))
        record = Record(time.perf_counter())
        record.counts_from = plan.warm_up
        requests: Any = self._environment.events.request
        requests.add_listener(record.on_request)
        crew = Crew(plan, self._errands, record, self._options.patience + 1)
        watch.start()
        try:
            arrivals.run(self._environment, crew, lambda: meanwhile(crew))
        finally:
            watch.stop()
            requests.remove_listener(record.on_request)
        if not record.traces:
            raise UnusableError("no arrival was answered; a longer --duration or a higher --rate?")
        return summarise(Made(crew, self.target, watch, self._at_once, began), thresholds)
