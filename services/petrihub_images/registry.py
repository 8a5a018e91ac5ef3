"""The registry behind its front, as the hub's side uses it: with a token for each call."""

from typing import Any

import httpx

from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, Unavailable
from petrihub_core.image_server import PULL, PUSH, Access, sign
from petrihub_core.image_store import MANIFEST, digest_of
from petrihub_images.documents import DOCKER_MANIFEST, decoded

Json = dict[str, Any]

_SUBJECT = "hub"
_SECONDS = 60
_ANSWER = 20.0
_LARGEST = 8 * 2**20  # bytes of a manifest or a configuration


class Registry:
    """Speaks with the registry at `url`; raises `Unavailable` while it does not answer."""

    def __init__(self, deployment: Deployment, url: str) -> None:
        self._deployment = deployment
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=_ANSWER)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def manifest(self, repository: str, reference: str) -> tuple[str, Json]:
        """Digest and content of a manifest, compared with each other; `NotFound` without one."""
        answer = await self._call(
            "GET",
            f"/v2/{repository}/manifests/{reference}",
            Access(repository, PULL),
            headers={"Accept": f"{MANIFEST}, {DOCKER_MANIFEST}"},
        )
        digest = digest_of(answer.content)
        if reference.startswith("sha256:") and digest != reference:
            raise Unavailable("The image server gave something else than was asked of it.")
        return digest, decoded(answer.content)

    async def document(self, repository: str, digest: str) -> Json:
        """A small JSON blob, compared with its name."""
        answer = await self._call(
            "GET", f"/v2/{repository}/blobs/{digest}", Access(repository, PULL)
        )
        if len(answer.content) > _LARGEST or digest_of(answer.content) != digest:
            raise Unavailable("The image server gave something else than was asked of it.")
        return decoded(answer.content)

    async def size(self, repository: str, digest: str) -> int:
        """Bytes of a blob of this repository; `NotFound` if it has none of this name."""
        answer = await self._call(
            "HEAD", f"/v2/{repository}/blobs/{digest}", Access(repository, PULL)
        )
        return int(answer.headers["Content-Length"])

    async def mount(self, digest: str, *, source: str, target: str) -> None:
        """Make a blob of one repository one of another's, without copying it."""
        answer = await self._call(
            "POST",
            f"/v2/{target}/blobs/uploads/",
            Access(target, PUSH),
            Access(source, PULL),
            params={"mount": digest, "from": source},
        )
        if answer.status_code != httpx.codes.CREATED:
            raise NotFound(f"The image server has no {digest} in {source}.")

    async def forget(self, repository: str, digest: str) -> None:
        """Delete a manifest; its blobs go when the registry is tidied up. Gone already is fine."""
        try:
            await self._call(
                "DELETE",
                f"/v2/{repository}/manifests/{digest}",
                Access(repository, ("pull", "delete")),
            )
        except NotFound:
            return

    async def _call(
        self, method: str, path: str, *access: Access, **options: Any
    ) -> httpx.Response:
        token = sign(self._deployment, access, subject=_SUBJECT, seconds=_SECONDS).text
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        try:
            answer = await self._client.request(method, path, headers=headers, **options)
        except httpx.HTTPError as exc:
            raise _silent() from exc
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFound("The image server does not have this.")
        if answer.is_error:
            raise Unavailable(f"The image server answered {answer.status_code}.")
        return answer


def _silent() -> Unavailable:
    return Unavailable("The image server does not answer.", hint="It is tried again by itself.")
