"""What all pictures share: sizes, classes, and a document in the reader's light or dark colours."""

import math
from collections.abc import Sequence
from html import escape

WIDTH = 760

STYLE = """
:root { --ink: #1f2328; --quiet: #59636e; --paper: #fff; --rule: #d1d9e0; --warm: #eef1f4;
  --good: #1a7f37; --bad: #c4232b; --bar: #4c78c8; --least: #a8b3bf;
  --s0: #0b62c4; --s1: #b35900; --s2: #c4232b; --s3: #1a7f37; --s4: #8250df; --s5: #57606a }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9aa4af; --paper: #0d1117;
  --rule: #3d444d; --warm: #1b222b; --good: #4fc46a; --bad: #ff8078; --bar: #6f9be8;
  --least: #59636e;
  --s0: #6cb0ff; --s1: #f0a75a; --s2: #ff8078; --s3: #4fc46a; --s4: #c297ff; --s5: #b0b9c3 } }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink) }
svg text.title { font-size: 14px; font-weight: 600 } svg .title .quiet { font-weight: 400 }
svg text.quiet, svg .quiet { fill: var(--quiet) }
.grid { stroke: var(--rule); stroke-width: 1 } .warm { fill: var(--warm) }
.bar { fill: var(--bar) } .least { fill: var(--least) }
.limit { stroke: var(--bad); stroke-width: 2 }
.line, .key { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.s0 { stroke: var(--s0) } .s1 { stroke: var(--s1); stroke-dasharray: 7 3 }
.s2 { stroke: var(--s2); stroke-dasharray: 2 3 }
.s3 { stroke: var(--s3); stroke-dasharray: 9 3 2 3 }
.s4 { stroke: var(--s4); stroke-dasharray: 4 4 } .s5 { stroke: var(--s5); stroke-dasharray: 12 4 }
"""
"""For pages that hold charts, and inside each picture of its own."""


def document(title: str, height: float, parts: Sequence[str]) -> str:
    """Write an SVG file."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def rounded_up(value: float) -> float:
    """Round up to the next number of 1, 2, 4, 5, 6 or 8 with noughts."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if step * power >= value * 0.9999)
