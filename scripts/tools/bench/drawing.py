"""What all pictures share: an SVG document in the reader's light or dark colours."""

from collections.abc import Sequence

WIDTH = 760

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #57606a }
.bar { fill: #4c78c8 }
.least { fill: #a8b3bf }
.limit { stroke: #c4432b; stroke-width: 2 }
.grid { stroke: #d8dee4; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.c0 { stroke: #4c78c8 } .c1 { stroke: #3f9a6b } .c2 { stroke: #c98a2b }
.d0 { fill: #4c78c8 } .d1 { fill: #3f9a6b } .d2 { fill: #c98a2b }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #6f9be8 } .least { fill: #59636e }
  .limit { stroke: #ff7b6b } .grid { stroke: #30363d }
}
"""


def drawing(title: str, height: float, parts: Sequence[str]) -> str:
    """The document."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-label="{title}">\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )
