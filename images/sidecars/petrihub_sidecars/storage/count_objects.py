"""Counts what is in a part of a bucket: `count_objects.py ENDPOINT REGION BUCKET PREFIX`.

One line of JSON on standard output, as of `count.py`. Only the standard library, and curl, which
signs the questions with the credentials from the environment.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as Xml

from petrihub_sidecars.mounts.orders import S3_VARIABLE, signed_for
from petrihub_sidecars.storage.count import SECONDS, Count

_ANSWER_WITHIN = 30  # seconds, for each thousand objects
_FOLDERS = ("/", "%2F")  # how the name of an object ends that is a folder


def count(
    ask: Callable[[str], bytes],
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Count:
    """The objects of a listing; `ask` answers with the page that comes after this token."""
    counted, after, until = Count(), "", clock() + seconds
    while True:
        page = Xml.fromstring(ask(after))  # noqa: S314 - of the operator's own object store
        for each in page.iterfind("{*}Contents"):
            if not each.findtext("{*}Key", "").endswith(_FOLDERS):
                counted.files += 1
                counted.size_bytes += int(each.findtext("{*}Size", "0"))
        after = page.findtext("{*}NextContinuationToken", "")
        if page.findtext("{*}IsTruncated") != "true" or not after:
            return counted
        if clock() > until:
            counted.partial = True
            return counted


def main() -> None:
    """Count everything below one prefix."""
    endpoint, region, bucket, prefix = sys.argv[1:]
    credentials = os.environ.pop(S3_VARIABLE)

    def ask(after: str) -> bytes:
        # in the order in which they are signed
        asked = {"continuation-token": after} if after else {}
        asked |= {"encoding-type": "url", "list-type": "2", "prefix": prefix}
        query = urlencode(asked, safe="", quote_via=quote)
        return subprocess.run(
            [
                "curl",
                *("--config", "-", *signed_for(region)),
                *("--silent", "--show-error", "--fail", "--max-time", str(_ANSWER_WITHIN)),
                f"{endpoint}/{bucket}?{query}",
            ],
            input=f'user = "{credentials}"\n'.encode(),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout

    print(json.dumps(vars(count(ask))))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
