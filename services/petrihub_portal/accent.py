"""The site's accent colour as CSS: legible in light and in dark. Pure."""

import colorsys

_HOVER = 0.8  # of the lightness
_DARK_LIGHTNESS = 0.72  # on our dark ground every hue is legible from here


def accent_css(colour: str) -> str:
    """Rules that replace our accent by `#rrggbb`; empty for an empty colour."""
    if not colour:
        return ""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, light, strong = colorsys.rgb_to_hls(red, green, blue)
    bright = colorsys.hls_to_rgb(hue, max(light, _DARK_LIGHTNESS), min(strong, 0.6))
    return _rules(
        ':root, [data-bs-theme="light"]',
        (red, green, blue),
        colorsys.hls_to_rgb(hue, light * _HOVER, strong),
        "#ffffff",
    ) + _rules('[data-bs-theme="dark"]', bright, bright, "#101412")


def _rules(
    selector: str, accent: tuple[float, ...], hover: tuple[float, ...], on_accent: str
) -> str:
    soft = f"color-mix(in srgb, {_hex(accent)} 14%, var(--ph-surface))"
    return (
        f"{selector} {{\n"
        f"  --ph-accent: {_hex(accent)};\n"
        f"  --ph-accent-strong: {_hex(hover)};\n"
        f"  --ph-accent-soft: {soft};\n"
        f"  --ph-on-accent: {on_accent};\n"
        f"  --bs-link-color: {_hex(accent)};\n"
        f"  --bs-link-color-rgb: {_triple(accent)};\n"
        f"  --bs-link-hover-color: {_hex(hover)};\n"
        f"  --bs-link-hover-color-rgb: {_triple(hover)};\n"
        "}\n"
    )


def _hex(colour: tuple[float, ...]) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)


def _triple(colour: tuple[float, ...]) -> str:
    return ", ".join(str(round(part * 255)) for part in colour)
