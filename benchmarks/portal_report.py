"""The page of the portal's benchmark: table and bar chart beside the JSON they are made from."""

import json
from pathlib import Path
from typing import Any

from report import about_machine

_WIDTH, _BAR, _LEFT = 720, 18, 210
_COLOURS = {"instead": "#8a9a97", "pages": "#0b7263", "while_starting": "#c98a1b"}
_NAMES = {"instead": "JupyterHub", "pages": "PetriHub", "while_starting": "while 20 start"}


def _chart(result: dict[str, Any]) -> str:
    longest = max(each["median_ms"] for kind in _COLOURS for each in result.get(kind, {}).values())
    parts, top = [], 10
    for page in result["pages"]:
        for kind, colour in _COLOURS.items():
            if page not in result.get(kind, {}):
                continue
            value = result[kind][page]["median_ms"]
            length = max(1, (_WIDTH - _LEFT - 90) * value / longest)
            middle = top + _BAR * 0.7
            label = f"{page}, {_NAMES[kind]}" if kind == "pages" else _NAMES[kind]
            parts.append(
                f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{label}</text>'
                f'<rect x="{_LEFT}" y="{top}" width="{length:.0f}" height="{_BAR}" rx="3" '
                f'fill="{colour}"/>'
                f'<text x="{_LEFT + length + 6:.0f}" y="{middle:.0f}">{value:.0f} ms</text>'
            )
            top += _BAR + 3
        top += 8
    style = "font: 11px system-ui, sans-serif; fill: #44524f"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" style="{style}">'
        f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def write_portal_page(source: Path) -> None:
    """Write `<source>.md` and `<source>.svg` beside the JSON file."""
    result = json.loads(source.read_text())
    held = result["filled_with"]
    lines = [
        "# portal: pages with many people, beside JupyterHub's own, in one run",
        "",
        f"SQLite with {held['people']:,} people, {held['groups']:,} groups and "
        f"{held['audit_rows']:,} audit rows. Milliseconds as the browser sees them, through the "
        "routing proxy. Promised: under 100 ms at the median.",
        "",
        "| page | median | p95 | JupyterHub, median | ratio | while 20 start, median | p95 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for page, figures in result["pages"].items():
        instead = result["instead"].get(page)
        other = f"{instead['median_ms']}" if instead else "-"
        ratio = f"{figures['median_ms'] / instead['median_ms']:.2f}" if instead else "-"
        busy = result["while_starting"].get(page)
        busy_cells = f"{busy['median_ms']} | {busy['p95_ms']}" if busy else "- | -"
        lines.append(
            f"| {page} | {figures['median_ms']} | {figures['p95_ms']} | {other} | {ratio} "
            f"| {busy_cells} |"
        )
    ready = result["starts_ready_seconds"]
    asked = ", ".join(f"{page}: `{path}`" for page, path in result["instead_is"].items())
    lines += [
        "",
        f"![Bars of the same figures]({source.stem}.svg)",
        "",
        f"What JupyterHub was asked for: {asked}. It has no page for the others. Of the 20 "
        f"workspaces {len(ready)} were ready, the last after {max(ready, default=0)} s.",
        "",
        about_machine(result, source),
        "",
    ]
    source.with_suffix(".md").write_text("\n".join(lines))
    source.with_suffix(".svg").write_text(_chart(result))
