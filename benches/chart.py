"""The chart of the README: time and peak memory of mp and its peers, as an SVG.

It has no background; its colours can be read on white and on black.
"""

from html import escape

COLOURS = {"mp": "#e8590c", "DuckDB": "#868e96", "Polars": "#868e96"}
WIDTH, LEFT, ROW, BAR = 760, 120, 34, 22
PANEL = (WIDTH - LEFT - 2 * 100) // 2
STYLE = """
text { font: 14px system-ui, -apple-system, "Segoe UI", Arial, sans-serif; fill: #24292f }
.head { font-weight: 600 }
.small { font-size: 12px; fill: #57606a }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } }
"""


def svg(found: dict) -> str:
    names = {name: name for name in COLOURS}
    names |= {name: f"{name} {one['version']}" for name, one in found["details"].items()}
    runs = found["runs"]
    panels = (
        ("Time, seconds", {name: runs[name]["wall"]["median"] for name in COLOURS}, "{:.1f} s"),
        ("Peak memory", {name: runs[name]["peak"]["high"] for name in COLOURS}, "{:,.0f} MiB"),
    )
    height = 40 + ROW * len(COLOURS) + 30
    parts = []
    for at, (title, values, unit) in enumerate(panels):
        left = LEFT + at * (PANEL + 100)
        parts.append(f'<text class="head" x="{left}" y="20">{title}</text>')
        for line, (name, value) in enumerate(values.items()):
            y = 36 + line * ROW
            size = max(2, round(PANEL * value / max(values.values())))
            if at == 0:
                label = escape(names[name])
                parts.append(f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{label}</text>')
            parts.append(
                f'<rect x="{left}" y="{y}" width="{size}" height="{BAR}" rx="3"'
                f' fill="{COLOURS[name]}"/>'
            )
            parts.append(f'<text x="{left + size + 6}" y="{y + 16}">{unit.format(value)}</text>')
    millions, size = found["rows"] / 1e6, found["bytes"] / 1e9
    turns = runs["mp"]["runs"]
    note = f"{millions:,.0f} million rows, {size:.2f} GB of text, warm files; {turns} runs in turn."
    note += " Time: median; memory: most. Less is better."
    parts.append(f'<text class="small" x="{LEFT}" y="{height - 10}">{note}</text>')
    title = ", ".join(f"{names[name]} {runs[name]['wall']['median']:.1f} s" for name in COLOURS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
