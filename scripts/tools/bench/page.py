"""Puts the tables into a page of Markdown.

Each has its place, which begins with `<!-- figures: NAME -->` and ends with `<!-- end -->`. What
stands in between is made by the program; everything else on the page is written by hand.
"""

import re
from re import Match

from tools.bench.results import Report
from tools.bench.tables import tables
from tools.report.tables import in_markdown

_PLACE = re.compile(r"(<!-- figures: (\S+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def refreshed(page: str, report: Report) -> str:
    """The page with all tables of the report. A place whose figures it lacks stays as it is."""
    made = {table.name: "\n".join(in_markdown(table)) for table in tables(report)}

    def table(place: Match[str]) -> str:
        begin, name, end = place.groups()
        return begin + made[name] + end if name in made else place[0]

    return _PLACE.sub(table, page)
