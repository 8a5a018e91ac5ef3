"""A benchmark's page: table and bar chart beside the JSON that they are made from."""

import json
from pathlib import Path
from statistics import median
from typing import Any

_WIDTH, _BAR, _GAP, _LEFT = 640, 22, 10, 190


def _rows(result: dict[str, Any]) -> list[tuple[str, float, float, float | None, str]]:
    """(what, stock, ours, allowed ratio, unit)."""
    start, six, memory = (
        result["start_seconds"],
        result["six_at_once_seconds"],
        result["idle_hub_mib"],
    )
    return [
        ("Start to ready, median", median(start["stock"]), median(start["PetriHub"]), 1.05, "s"),
        ("Six at once, last ready", max(six["stock"]), max(six["PetriHub"]), None, "s"),
        ("Idle hub, resident", memory["stock"], memory["PetriHub"], 1.2, "MiB"),
    ]


def _chart(rows: list[tuple[str, float, float, float | None, str]]) -> str:
    parts, top = [], _GAP
    for what, stock, ours, _, unit in rows:
        longest = max(stock, ours)
        for name, value, colour in (("stock", stock, "#8a9a97"), ("PetriHub", ours, "#0b7263")):
            length = (_WIDTH - _LEFT - 110) * value / longest
            middle = top + _BAR * 0.7
            label = f"{what}, {name}" if name == "stock" else name
            parts.append(
                f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{label}</text>'
                f'<rect x="{_LEFT}" y="{top}" width="{length:.0f}" height="{_BAR}" '
                f'rx="3" fill="{colour}"/>'
                f'<text x="{_LEFT + length + 6:.0f}" y="{middle}">{value:.2f} {unit}</text>'
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
    rows = _rows(result)
    ratios = [result["start_ratio"], result["six_at_once_ratio"], result["idle_hub_ratio"]]
    machine = result["machine"]
    lines = [
        f"# {source.stem}: beside the stock spawner, in one run",
        "",
        "| what | stock | PetriHub | ratio | allowed |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {what} | {stock:.2f} {unit} | {ours:.2f} {unit} | {ratio} | {allowed or '-'} |"
            for (what, stock, ours, allowed, unit), ratio in zip(rows, ratios, strict=True)
        ),
        "",
        f"![Bars of the same figures]({source.stem}.svg)",
        "",
        f"{machine['cpus']} CPUs, {machine['memory_gib']} GiB, Python {machine['python']}; load "
        f"before {machine['load_before'][0]}, after {machine['load_after'][0]}. The ratio of "
        f"starts is the median of {len(result['start_seconds']['stock'])} pairs. Raw figures: "
        f"[{source.name}]({source.name}).",
        "",
    ]
    source.with_suffix(".md").write_text("\n".join(lines))
    source.with_suffix(".svg").write_text(_chart(rows))
