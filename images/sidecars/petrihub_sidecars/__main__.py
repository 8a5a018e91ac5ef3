"""`python -m petrihub_sidecars gate`: runs the sidecar whose name is the first argument."""

import runpy
import sys

SIDECARS = ("gate", "checkpointer", "mounts")


def main() -> None:
    """Run the sidecar's own module, which is called like its package, with `.main` behind it."""
    name, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name not in SIDECARS:
        sys.exit(f"There is no sidecar {name!r}. There are: {', '.join(SIDECARS)}.")
    sys.argv = [name, *rest]
    runpy.run_module(f"petrihub_sidecars.{name}.main", run_name="__main__")


if __name__ == "__main__":
    main()
