"""Pushes to one repository of a registry and reads back what it keeps (OCI distribution)."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_CHUNK = 16 * 2**20  # bytes of one request; what a cut connection costs, see image_front
_READ = 2**20
_TIMEOUT = httpx.Timeout(60, connect=10)
WAITS = (0.2, 1.0, 3.0, 8.0, 20.0)  # seconds before the next try; a step forward starts again
_TOKEN_AGE = 120  # seconds after which a new one is asked for; it is good for five minutes
_RESTARTS = 5  # uploads of one blob that the registry may find damaged
_NO_SPACE = b'"Err":28'  # how docker-registry words ENOSPC of its disk, with status 500

Progress = Callable[[int, int], None]
_Result = TypeVar("_Result")


class RegistryFailed(Exception):
    """The image server did not keep what it was given; the message is for a person."""


class _Again(Exception):
    """A failure that may be over soon."""


class _StartOver(_Again):
    """The upload is gone or damaged; a new one is needed."""


class Blob:
    """Content that is to be in the registry: a file, or bytes."""

    def __init__(self, source: Path | bytes, digest: str, size: int) -> None:
        self.digest, self.size = digest, size
        self._source = source

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """A part of it, piece by piece."""
        if isinstance(self._source, bytes):
            yield self._source[offset : offset + length]
            return
        with self._source.open("rb") as file:
            file.seek(offset)
            while length and (block := file.read(min(_READ, length))):
                length -= len(block)
                yield block


class Repository:
    """One repository; `token` gives a push token for it, and raises what httpx raises."""

    def __init__(
        self,
        registry: str,
        name: str,
        token: Callable[[], str],
    ) -> None:
        self._registry = httpx.URL(registry)
        self._path = f"/v2/{name}"
        self._token = token
        self._bearer, self._bearer_until = "", 0.0
        # what the environment says about proxies is not meant for this
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=False)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def push(self, blob: Blob, progress: Progress = lambda done, total: None) -> None:
        """Upload the blob, unless it is there; goes on where a cut connection ended."""
        if not self.retried(lambda: self.has(blob)):
            _Upload(self, blob, progress).run()
        progress(blob.size, blob.size)

    def has(self, blob: Blob) -> bool:
        """Whether the repository has the blob, as far as it says."""
        answer = self.ask("HEAD", self.path(f"blobs/{blob.digest}"), missing=True)
        return bool(answer.headers.get("Content-Length") == str(blob.size) and answer.is_success)

    def verify(self, blob: Blob, progress: Progress = lambda done, total: None) -> None:
        """Read the blob back and hash it; raises `RegistryFailed` if it is another."""
        self.retried(lambda: self._verify(blob, progress))

    def _verify(self, blob: Blob, progress: Progress) -> None:
        kept, size = hashlib.sha256(), 0
        with self._answer("GET", self.path(f"blobs/{blob.digest}")) as answer:
            for block in answer.iter_raw(_READ):
                kept.update(block)
                size += len(block)
                progress(size, blob.size)
        if size < blob.size:
            raise _Again("the connection was cut")
        if f"sha256:{kept.hexdigest()}" != blob.digest:
            raise RegistryFailed("The image server keeps another layer than it was given.")

    def put_manifest(self, content: bytes) -> str:
        """Put the manifest under its digest, and read it back; the digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        where = self.path(f"manifests/{digest}")

        def put() -> None:
            self.ask("PUT", where, content=content, headers={"Content-Type": OCI_MANIFEST})
            kept = self.ask("GET", where, headers={"Accept": OCI_MANIFEST})
            if kept.content != content:
                raise RegistryFailed("The image server keeps another manifest than it was given.")

        self.retried(put)
        return digest

    # --- requests -------------------------------------------------------------------------

    def path(self, rest: str) -> httpx.URL:
        """The address of something in this repository."""
        return self._registry.copy_with(raw_path=f"{self._path}/{rest}".encode())

    def at(self, location: str) -> httpx.URL:
        """An address that the registry named; always at the registry, whatever host it named."""
        return self._registry.copy_with(raw_path=httpx.URL(location).raw_path)

    def retried(self, step: Callable[[], _Result]) -> _Result:
        """The result of `step`, tried again after waits; then raises `RegistryFailed`."""
        for wait in (*WAITS, None):
            try:
                return step()
            except (httpx.TransportError, _Again) as exc:
                if wait is None:
                    words = str(exc) if isinstance(exc, _Again) else "it does not answer"
                    raise RegistryFailed(f"The image server cannot be used: {words}.") from exc
                time.sleep(wait)
        raise AssertionError  # the last try returns or raises

    def ask(self, method: str, url: httpx.URL, **request: Any) -> httpx.Response:
        """A small answer, read whole; raises `_Again` or `RegistryFailed`."""
        with self._answer(method, url, **request) as answer:
            answer.read()
            return answer

    @contextmanager
    def _answer(
        self, method: str, url: httpx.URL, *, missing: bool = False, **request: Any
    ) -> Iterator[httpx.Response]:
        headers = {**request.pop("headers", {}), "Authorization": f"Bearer {self._fresh_token()}"}
        with self._client.stream(method, url, headers=headers, **request) as answer:
            if not (answer.is_success or (missing and answer.status_code == HTTPStatus.NOT_FOUND)):
                self._explain(answer)
            yield answer

    def _fresh_token(self) -> str:
        if time.monotonic() > self._bearer_until:
            self._bearer = self._token()
            self._bearer_until = time.monotonic() + _TOKEN_AGE
        return self._bearer

    def _explain(self, answer: httpx.Response) -> None:
        """Raise what this answer means."""
        code = answer.status_code
        body = answer.read()
        if code == HTTPStatus.UNAUTHORIZED:
            self._bearer_until = 0.0
            raise _Again("it does not accept this workspace's right to save")
        if code == HTTPStatus.INSUFFICIENT_STORAGE or _NO_SPACE in body:
            raise RegistryFailed("The image server has no space left.")
        if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise RegistryFailed("The image server does not take so much at once.")
        if code == HTTPStatus.TOO_MANY_REQUESTS or code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Again(f"it answers with error {code}")
        if code in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST) and "/uploads/" in str(
            answer.url
        ):
            raise _StartOver(f"it answers with error {code}")
        raise RegistryFailed(f"The image server refused: {code} {_codes(body)}.")


class _Upload:
    """One blob on its way, in chunks; what the registry has of it is asked for after a failure."""

    def __init__(self, repository: Repository, blob: Blob, progress: Progress) -> None:
        self._repository = repository
        self._blob = blob
        self._progress = progress
        self._location: httpx.URL | None = None
        self._offset = 0
        self._sure = False  # whether the registry has said how much it has
        self._restarts = 0

    def run(self) -> None:
        """Upload all of it; raises `RegistryFailed`."""
        while not self._repository.retried(self._step):
            pass

    def _step(self) -> bool:
        """One request further; True when the registry has the blob."""
        try:
            return self._go_on()
        except _StartOver as exc:
            self._location = None
            self._restarts += 1
            if self._restarts > _RESTARTS:
                raise RegistryFailed(f"The image server lost the upload: {exc}.") from exc
            # the answer to the last request of a whole upload may be what was cut
            return self._repository.has(self._blob)
        except BaseException:
            self._sure = False
            raise

    def _go_on(self) -> bool:
        if self._location is None:
            where = self._repository.path("blobs/uploads/")
            self._note(self._repository.ask("POST", where, headers={"Content-Length": "0"}))
            self._offset = 0
        elif not self._sure:
            self._note(self._repository.ask("GET", self._location))
        elif self._offset < self._blob.size:
            self._send_chunk(self._location)
        else:
            end = self._location.copy_merge_params({"digest": self._blob.digest})
            self._repository.ask("PUT", end, headers={"Content-Length": "0"})
            return True
        return False

    def _send_chunk(self, location: httpx.URL) -> None:
        start, length = self._offset, min(_CHUNK, self._blob.size - self._offset)
        answer = self._repository.ask(
            "PATCH",
            location,
            content=self._counted(start, length),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(length),
                "Content-Range": f"{start}-{start + length - 1}",
            },
        )
        self._note(answer)
        if self._offset <= start:
            raise _Again("it keeps nothing of what it is sent")

    def _counted(self, start: int, length: int) -> Iterator[bytes]:
        for block in self._blob.read(start, length):
            yield block
            start += len(block)
            self._progress(start, self._blob.size)

    def _note(self, answer: httpx.Response) -> None:
        """Where to go on, and with which byte."""
        if location := answer.headers.get("Location"):
            self._location = self._repository.at(location)
        last = int(answer.headers.get("Range", "0-0").rpartition("-")[2])
        # "0-0" is said of nothing and of one byte; if it was one, the digest will not fit
        self._offset = last + 1 if last else 0
        self._sure = True


def _codes(body: bytes) -> str:
    """The registry's own words for an error, shortened."""
    return body[:300].decode(errors="replace").strip()
