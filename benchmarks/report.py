"""What benchmarks write: the figures as JSON with the machine, and pages made from them."""

import json
import os
import platform
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from petrihub_cli.product import ROOT

_WIDTH, _BAR, _GAP, _LEFT = 640, 22, 10, 190


def write_result(
    name: str, result: dict[str, Any], load_before: tuple[float, float, float]
) -> Path:
    """Print the figures and write them as docs/benchmarks/<name>.json, with the machine."""
    result["machine"] = {
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "load_before": [round(value, 2) for value in load_before],
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }
    text = json.dumps(result, indent=2)
    target = ROOT / "docs" / "benchmarks" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n")
    print(text)
    return target


def about_machine(result: dict[str, Any], source: Path, more: str = "") -> str:
    """The last line of a page: the machine, its load, `more`, and where the figures are."""
    machine = result["machine"]
    return (
        f"{machine['cpus']} CPUs, {machine['memory_gib']} GiB, Python {machine['python']}; load "
        f"before {machine['load_before'][0]}, after {machine['load_after'][0]}. {more}Raw figures: "
        f"[{source.name}]({source.name})."
    )


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


def chart(rows: list[tuple[str, float, float, float | None, str]], *, beside: str = "stock") -> str:
    """Bars of the rows' figures, as SVG; `beside` names what PetriHub is compared with."""
    parts, top = [], _GAP
    for what, stock, ours, _, unit in rows:
        longest = max(stock, ours)
        for name, value, colour in ((beside, stock, "#8a9a97"), ("PetriHub", ours, "#0b7263")):
            length = (_WIDTH - _LEFT - 110) * value / longest
            middle = top + _BAR * 0.7
            label = f"{what}, {name}" if name == beside else name
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
    pairs = len(result["start_seconds"]["stock"])
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
        about_machine(result, source, f"The ratio of starts is the median of {pairs} pairs. "),
        "",
    ]
    source.with_suffix(".md").write_text("\n".join(lines))
    source.with_suffix(".svg").write_text(chart(rows))
