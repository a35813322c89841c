"""A run as one HTML file, which loads nothing and runs nothing."""

from collections.abc import Iterator
from html import escape

from tools.load.figures import Summary
from tools.load.terminal import calls, ending, generator, watched
from tools.report.drawing import STYLE, WIDTH
from tools.report.line_chart import HEIGHT, LineChart, Series
from tools.report.tables import Table, in_html

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 800px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p { margin: .4rem 0 } .quiet { color: var(--quiet) }
.verdict { font-weight: 600; border-left: .4rem solid; padding-left: .7rem; margin: 1rem 0 }
.pass { color: var(--good) } .broken, .unusable { color: var(--bad) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--quiet); padding-bottom: .3rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--rule); text-align: right }
th:first-child, td:first-child { text-align: left } tbody th { font-weight: 400 }
tr.total > * { font-weight: 600 }
figure { margin: 1.2rem 0 } figure > svg { max-width: 100%; height: auto }
"""


def page(summary: Summary) -> str:
    """Write the report as an HTML document."""
    title = f"{escape(summary.mix)} at {summary.rate:g} a second"
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="quiet">{escape(summary.host)} · {escape(summary.started_at)}</p>',
        f'<p class="verdict {summary.verdict}">{escape(ending(summary))}</p>',
        f"<p>{_what(summary)}</p>",
        *_tables(summary),
        "<h2>Over time</h2>",
        *_charts(summary),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _what(summary: Summary) -> str:
    weights = ", ".join(f"{weight:g} % {escape(name)}" for name, weight in summary.weights.items())
    how = "evenly spaced" if summary.spacing == "even" else "at random times (Poisson)"
    return (
        f"{summary.rate:g} arrivals a second, {how}: {weights}; {summary.people:,} people at once."
        f" Counted: {summary.duration:g} s after {summary.warm_up:g} s of warm-up, which is shaded."
        " Latencies count from when a request was due, not from when it was sent."
    )


def _tables(summary: Summary) -> Iterator[str]:
    if summary.verdicts:
        rows = [
            (v.threshold, v.measured, "holds" if v.holds else "broken") for v in summary.verdicts
        ]
        yield in_html(Table("", "Thresholds", ("Threshold", "Measured", ""), rows))
    yield in_html(calls(summary), total=True)
    if summary.failures:
        head = ("Call", "What", "Times", "When")
        errors = [
            (f.call, f.what, f"{f.count:,}", "warm-up" if f.in_warm_up else "steady state")
            for f in summary.failures
        ]
        yield in_html(Table("", "Errors", head, errors))
    if summary.watched:
        yield in_html(watched(summary))
    yield in_html(generator(summary))


def _charts(summary: Summary) -> Iterator[str]:
    course = summary.course
    charts = [
        ("Rate and errors", "a second", course.rates),
        *((f"Latency of {name}", "ms", lines) for name, lines in course.latencies.items()),
        ("How late arrivals set out", "ms", course.late),
    ]
    if course.memory:
        charts += [("Memory", "MiB", course.memory), ("CPU", "cores", course.cpu)]
    seconds = summary.warm_up + summary.duration
    for title, unit, lines in charts:
        series = [
            Series(
                each.name,
                [(min(seconds, (at + 0.5) * course.bucket), y) for at, y in enumerate(each.values)],
            )
            for each in lines
        ]
        parts = LineChart(title, unit, series, x_unit="s", shaded=summary.warm_up).drawn()
        yield (
            f'<figure><svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
            f' height="{HEIGHT}">{"".join(parts)}</svg></figure>'
        )
