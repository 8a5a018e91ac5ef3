"""`python -m petrihub_sidecars gate`: runs the gate; JupyterHub's variables say for what."""

import logging
import sys

from petrihub_sidecars.gate.app import GateServer


def main() -> None:
    """Run until told to end; what cannot be begun ends the process with the reason."""
    logging.basicConfig(format="gate: %(message)s", level=logging.INFO, stream=sys.stdout)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    try:
        GateServer().start()
    except KeyError as exc:
        sys.exit(f"The gate was not told {exc}: it is started by PetriHub, not by hand.")
    except OSError as exc:
        sys.exit(f"The gate cannot listen: {exc.strerror}. Does the tool take its port?")


if __name__ == "__main__":
    main()
