"""The checkpointer's program: takes orders of the image service and carries them out, one by one.

It runs as the workspace's own user beside the workspace's programs, which may therefore try to
look into it. Its interpreter is a file that this user may execute but not read: the kernel then
closes the process's memory, environment and files to everybody but root, from its first
instruction on. It refuses to work without that.
"""

import ctypes
import logging
import os
import resource
import sys

from petrihub_sidecars.checkpointer.job import Job, Subject, failed
from petrihub_sidecars.checkpointer.service import Order, Service, Withdrawn

ADDRESS_VARIABLE = "PETRIHUB_IMAGES_URL"
CREDENTIAL_VARIABLE = "PETRIHUB_SIDECAR_CREDENTIAL"

_PR_GET_DUMPABLE = 3
_DUMPABLE = 1  # 2 means: by root alone

log = logging.getLogger("checkpointer")


def require_closed() -> None:
    """End the program if others of its user could look into it."""
    if ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == _DUMPABLE:
        sys.exit("The checkpointer can be looked into: its interpreter must not be readable.")


def work(service: Service, subject: Subject) -> None:
    """Take the next order and carry it out."""
    data = service.next_order()
    try:
        order = Order.read(data)
    except (KeyError, TypeError, ValueError) as exc:
        service.result(str(data.get("id", "")), failed(f"The order cannot be understood: {exc}."))
        return
    try:
        result = Job(order, subject, service).run()
    except Withdrawn:
        log.info("order %s was withdrawn", order.id)
        return
    except Exception:
        log.exception("order %s failed", order.id)
        result = failed("Something unexpected happened in the checkpointer; its log has more.")
    service.result(order.id, result)
    log.info("order %s: %s", order.id, result["state"])


def main() -> None:
    """Run until the workspace ends."""
    require_closed()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
    service = Service(os.environ[ADDRESS_VARIABLE], os.environ.pop(CREDENTIAL_VARIABLE))
    log.info("checkpointer: ready")
    while True:
        work(service, Subject())


if __name__ == "__main__":
    main()
