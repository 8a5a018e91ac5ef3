"""Blobs of the registry as streams, for work in a thread: nothing is held in memory as a whole."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

import httpx

from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, Refused, Unavailable
from petrihub_core.image_server import PULL, PUSH, Access, sign

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_MANIFEST_LIMIT = 8 * 2**20
_SECONDS = 3600  # for which a token holds: a layer may have many gigabytes
_SILENT = 60.0
_CHUNK = 2**20


class Reader(Protocol):
    """Something to read from."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end."""


class _Body:
    """An answer that is read piece by piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece, self._given = pieces, b"", 0

    def read(self, size: int, /) -> bytes:
        while self._given == len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._piece, self._given = piece, 0
        begin = self._given
        self._given = min(begin + size, len(self._piece))
        return self._piece[begin : self._given]


class Store:
    """Speaks with the registry at `url`; raises `Unavailable` while it does not answer."""

    def __init__(self, deployment: Deployment, url: str) -> None:
        self._deployment = deployment
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=_SILENT)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def manifest(self, repository: str, digest: str) -> bytes:
        """A manifest, compared with its name; raises `NotFound`."""
        path = f"/v2/{repository}/manifests/{digest}"
        found = self._call("GET", path, repository, PULL, headers={"Accept": MANIFEST}).content
        if len(found) > _MANIFEST_LIMIT or digest_of(found) != digest:
            raise Unavailable("The image server gave something else than was asked of it.")
        return found

    @contextmanager
    def blob(self, repository: str, digest: str) -> Iterator[Reader]:
        """The bytes of a blob, as they come; raises `NotFound`."""
        path = f"/v2/{repository}/blobs/{digest}"
        try:
            with self._client.stream("GET", path, headers=self._token(repository, PULL)) as answer:
                _require(answer)
                yield _Body(answer.iter_raw(_CHUNK))
        except httpx.HTTPError as exc:
            raise _silent() from exc

    def has(self, repository: str, digest: str) -> bool:
        """Whether this repository has the blob."""
        path = f"/v2/{repository}/blobs/{digest}"
        answer = self._call("HEAD", path, repository, PULL, missing=True)
        return answer.status_code == httpx.codes.OK

    def push(self, repository: str, digest: str, content: IO[bytes], size: int) -> None:
        """Store `size` bytes of `content` under their name; raises `Refused` if it is another."""
        if self.has(repository, digest):
            return
        begun = self._call("POST", f"/v2/{repository}/blobs/uploads/", repository, PUSH)
        where = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        target = where.raw_path.decode()
        self._call(
            "PUT",
            target,
            repository,
            PUSH,
            content=_pieces(content, size, digest),
            headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"},
        )

    def put_manifest(self, repository: str, document: bytes) -> str:
        """Store a manifest; its digest."""
        digest = digest_of(document)
        path = f"/v2/{repository}/manifests/{digest}"
        kind = {"Content-Type": MANIFEST}
        self._call("PUT", path, repository, PUSH, content=document, headers=kind)
        return digest

    def _token(self, repository: str, actions: tuple[str, ...]) -> dict[str, str]:
        access = [Access(repository, actions)]
        token = sign(self._deployment, access, subject="hub", seconds=_SECONDS).text
        return {"Authorization": f"Bearer {token}"}

    def _call(
        self,
        method: str,
        path: str,
        repository: str,
        actions: tuple[str, ...],
        *,
        missing: bool = False,
        **options: Any,
    ) -> httpx.Response:
        headers = {**self._token(repository, actions), **options.pop("headers", {})}
        try:
            answer = self._client.request(method, path, headers=headers, **options)
        except httpx.HTTPError as exc:
            raise _silent() from exc
        if not (missing and answer.status_code == httpx.codes.NOT_FOUND):
            _require(answer)
        return answer


def _pieces(content: IO[bytes], size: int, digest: str) -> Iterator[bytes]:
    found, left = hashlib.sha256(), size
    while left and (piece := content.read(min(_CHUNK, left))):
        left -= len(piece)
        found.update(piece)
        yield piece
    if left or f"sha256:{found.hexdigest()}" != digest:
        raise Refused("A part of the image is not what its name says.")


def _require(answer: httpx.Response) -> None:
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise NotFound("The image server does not have this.")
    if answer.is_error:
        raise Unavailable(f"The image server answered {answer.status_code}.")


def _silent() -> Unavailable:
    return Unavailable("The image server does not answer.", hint="It is tried again by itself.")


def digest_of(content: bytes) -> str:
    """The name of these bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def document_bytes(document: dict[str, Any]) -> bytes:
    """A document as bytes that are always the same."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
