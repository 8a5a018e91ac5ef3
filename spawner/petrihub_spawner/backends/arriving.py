"""How much of an image has come, as the engine tells it layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SHORT = 12  # digits of a digest by which the engine calls a layer
_FETCHED = ("Verifying Checksum", "Download complete")
_UNPACKED = "Pull complete"


@dataclass
class Arriving:
    """One pull; `sizes` are the bytes of its layers by digest."""

    sizes: Mapping[str, int]
    _fetched: dict[str, int] = field(default_factory=dict)
    _unpacked: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._left = {name.partition(":")[2][:_SHORT]: n for name, n in self.sizes.items()}

    def hear(self, line: Mapping[str, Any]) -> None:
        """A line of the engine's report."""
        layer, status = line.get("id"), line.get("status")
        if layer not in self._left:
            return
        whole = self._left[layer]
        so_far = min(whole, (line.get("progressDetail") or {}).get("current") or 0)
        if status == "Already exists":
            del self._left[layer]
        elif status == "Downloading":
            self._fetched[layer] = so_far
        elif status == "Extracting":
            self._unpacked[layer] = so_far
        elif status in _FETCHED:
            self._fetched[layer] = whole
        elif status == _UNPACKED:
            self._fetched[layer] = self._unpacked[layer] = whole

    @property
    def bytes(self) -> tuple[int, int]:
        """How many have come, or are unpacked once all have come, of how many."""
        total = sum(self._left.values())
        come = sum(self._fetched.values())
        return (come if come < total else sum(self._unpacked.values())), total

    @property
    def words(self) -> str:
        """The same for a person."""
        done, total = self.bytes
        doing = "Fetching" if sum(self._fetched.values()) < total else "Unpacking"
        unit, name, digits = (10**9, "GB", 1) if total >= 10**9 else (10**6, "MB", 0)
        so_far, whole = (f"{number / unit:.{digits}f}" for number in (done, total))
        return f"{doing} the checkpoint: {so_far} of {whole} {name}"
