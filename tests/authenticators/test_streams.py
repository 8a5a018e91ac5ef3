"""Streams of progress: so many at once, and only as long as somebody listens (A74)."""

import asyncio
from http import HTTPStatus

import httpx

from petrihub_authenticators.pages.streams import OF_ONE

MORE = 5


class Stream:
    """One open stream of a visitor's start; `status` of its answer."""

    def __init__(self, visitor, name: str) -> None:
        self.client = httpx.AsyncClient(
            base_url=visitor.hub.url, cookies=visitor.client.cookies, timeout=60, trust_env=False
        )
        self.where = f"/hub/api/users/{name}/servers/never/progress"
        self.asked = {
            "params": {"_xsrf": visitor.client.cookies["_xsrf"]},
            "headers": {"Referer": f"{visitor.hub.url}/hub/"},
        }

    async def open(self) -> int:
        request = self.client.build_request("GET", self.where, **self.asked)
        self.answer = await self.client.send(request, stream=True)
        return self.answer.status_code

    async def close(self) -> None:
        await self.answer.aclose()
        await self.client.aclose()


async def begin(hub, name: str):
    """Somebody who waits for a start that never ends."""
    visitor = hub.visitor()
    await asyncio.to_thread(visitor.sign_in, name)
    await asyncio.to_thread(visitor.get, "no-such-page")
    begun = await asyncio.to_thread(visitor.own_api, name, "POST", "/servers/never")
    assert begun.status_code == HTTPStatus.ACCEPTED
    return visitor


async def test_one_person_has_so_many_streams_and_others_have_theirs(
    hub, researcher: str, admin: str
) -> None:
    one, other = await begin(hub, researcher), await begin(hub, admin)
    streams = [Stream(one, researcher) for _ in range(OF_ONE + MORE)]
    codes = sorted(await asyncio.gather(*(stream.open() for stream in streams)))
    assert codes == [HTTPStatus.OK] * OF_ONE + [HTTPStatus.TOO_MANY_REQUESTS] * MORE
    theirs = Stream(other, admin)
    assert await theirs.open() == HTTPStatus.OK

    await asyncio.gather(*(stream.close() for stream in (*streams, theirs)))
    late = Stream(one, researcher)
    async with asyncio.timeout(30):
        # the hub hears of each closed connection by itself; the start itself goes on
        while await late.open() != HTTPStatus.OK:
            await late.answer.aclose()
    await late.close()
    for name in (researcher, admin):
        hub.portal("POST", f"petrihub/people/{name}/end")


async def test_nobody_else_s_start_is_seen(hub, researcher: str, admin: str) -> None:
    await begin(hub, researcher)
    stranger = hub.visitor()
    await asyncio.to_thread(stranger.sign_in, admin)
    await asyncio.to_thread(stranger.get, "no-such-page")
    stream = Stream(stranger, researcher)
    assert await stream.open() in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
    await stream.close()
    hub.portal("POST", f"petrihub/people/{researcher}/end")
