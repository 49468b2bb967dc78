"""The figures of a run as a picture: each server's rate as a part of the limit's, in the same rounds."""

from xml.sax.saxutils import escape

from . import figures
from .cells import BY_NAME
from .clients import BENCH, EXCHANGE, FIO
from .table import speed

CELLS = ["4k-read-q1", "4k-read-q32", "4k-read-q128", "4k-write-q32", "256k-read", "256k-write", "1m-read", "1m-write"]
BARS = [("timedisk", BENCH), ("tgt", BENCH), ("istgt", BENCH), ("qemu-nbd", FIO), ("nbdkit", FIO)]
WIDTH, LEFT, RIGHT, TOP, BAR, GAP, TITLE = 760, 90, 130, 62, 14, 18, 20
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 }
.title { font-size: 15px; font-weight: 600; fill: #111 } .group { font-weight: 600; fill: #111 }
.back { fill: #fff } .grid { stroke: #ddd } .limit { stroke: #555; stroke-dasharray: 4 3 }
.peer { fill: #a3abb5 } .ours { fill: #1f6fd1 } .own { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #c9d1d9 } .title, .group { fill: #f0f3f6 }
  .back { fill: #0d1117 } .grid { stroke: #30363d } .limit { stroke: #adb5bd }
  .peer { fill: #5c6670 } .ours { fill: #4c9bf5 }
}
"""


def _text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _bars(found, cell):
    """(server, share of the limit, rate in words) for each server that was measured."""
    for server, client in BARS:
        share = found.ratio((cell, server, client), (cell, EXCHANGE, EXCHANGE), figures.rate)
        if share is not None:
            yield server, share, speed(found, cell, server, client) + ("/s" if BY_NAME[cell].small else "")


def svg(found):
    groups = [(cell, list(_bars(found, cell))) for cell in CELLS if cell in found.cells]
    groups = [(cell, bars) for cell, bars in groups if bars]
    longest = max([1.0, *(share for _, bars in groups for _, share, _ in bars)])
    scale = (WIDTH - LEFT - RIGHT) / longest
    y, body = TOP, []
    for cell, bars in groups:
        body.append(_text(LEFT, y + TITLE - 7, BY_NAME[cell].title, "group"))
        y += TITLE
        for server, share, words in bars:
            ours = server == "timedisk"
            body.append(_text(LEFT - 8, y + BAR - 3, server, "own" if ours else "", "end"))
            body.append(f'<rect x="{LEFT}" y="{y}" width="{max(1, share * scale):.1f}" height="{BAR - 2}" rx="2" '
                        f'class="{"ours" if ours else "peer"}"/>')
            body.append(_text(LEFT + share * scale + 6, y + BAR - 3, f"{share:.0%} · {words}", "own" if ours else ""))
            y += BAR
        y += GAP
    return _frame(body, y, scale)


def _frame(body, height, scale):
    lines = []
    for quarter in range(5):
        x = LEFT + quarter / 4 * scale
        kind = "limit" if quarter == 4 else "grid"
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height - GAP}" class="{kind}"/>')
        lines.append(_text(x, TOP - 10, f"{quarter * 25} %", anchor="middle"))
    head = [_text(12, 24, "Rate as a part of what a bare exchange over TCP reaches in the same run", "title")]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
                      "<title>timedisk, its peers and neighbours against the limit of the machine</title>",
                      f"<style>{STYLE}</style>", f'<rect class="back" width="{WIDTH}" height="{height}"/>',
                      *head, *lines, *body, "</svg>", ""])
