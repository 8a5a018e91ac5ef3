"""The backends; the hub finds their spawners by entry points."""
