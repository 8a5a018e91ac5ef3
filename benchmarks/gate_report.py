"""The gate benchmark's page: table and bar chart beside the JSON that they are made from."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from report import about_machine

_WIDTH, _BAR, _GAP, _LEFT = 640, 22, 10, 170
_ALLOWED = {"ratio": 0.6, "added": 3.0}


def _chart(result: dict[str, Any]) -> str:
    parts, top = [], _GAP
    bars = [
        ("MiB/s", {name: median(each) for name, each in result["mib_per_second"].items()}),
        ("ms, median", result["median_ms"]),
    ]
    for unit, values in bars:
        longest = max(values.values())
        for name, value in values.items():
            colour = "#0b7263" if name.endswith("gate") else "#8a9a97"
            length = (_WIDTH - _LEFT - 130) * value / longest
            middle = top + _BAR * 0.7
            shown = f"{value:.0f}" if value >= 100 else f"{value:.2f}"
            parts.append(
                f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{name}</text>'
                f'<rect x="{_LEFT}" y="{top}" width="{max(length, 1):.0f}" height="{_BAR}" '
                f'rx="3" fill="{colour}"/>'
                f'<text x="{_LEFT + length + 6:.0f}" y="{middle}">{shown} {unit}</text>'
            )
            top += _BAR + 4
        top += _GAP
    style = "font: 11px system-ui, sans-serif; fill: #44524f"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" style="{style}">'
        f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def write_page(source: Path) -> None:
    """Write `<source>.md` and `<source>.svg` beside the JSON file."""
    result = json.loads(source.read_text())
    rows = [
        f"| {name} | {result['download_mib'][name]} MiB | {median(speeds):.0f} MiB/s "
        f"| {result['download_ratio'][name]:.2f} | {result['cpu_seconds_per_gib'][name]:.2f} s "
        + "".join(
            f"| {result[what][name]:.2f} ms " if name in result[what] else "| "
            for what in ("median_ms", "added_ms")
        )
        + "|"
        for name, speeds in result["mib_per_second"].items()
    ]
    lines = [
        "# gate: what it costs to stand before a tool, in one run",
        "",
        "| way to the tool | download | speed | x direct | processor time per GiB "
        "| small answer, median | added |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Allowed for the gate: at least {_ALLOWED['ratio']} x direct, less than "
        f"{_ALLOWED['added']:.0f} ms added at the median.",
        "",
        f"![Bars of the same figures]({source.stem}.svg)",
        "",
        "The tool is nginx with a file in the page cache (sendfile). nginx as a proxy asks nobody "
        "who they are; the gate checks the session, cleans the headers and signs the person's "
        "name. jupyter-server-proxy keeps whole answers in memory and refuses more than 100 MiB, "
        "so its download is a smaller one. http.server is Python's own, a tool as fast as most "
        "are; its rows are measured against it without the gate.",
        "",
        about_machine(result, source),
        "",
    ]
    source.with_suffix(".md").write_text("\n".join(lines))
    source.with_suffix(".svg").write_text(_chart(result))
