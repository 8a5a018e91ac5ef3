"""What a workspace may not do with the image server, tried from where a workspace is.

Rows A31, A52 and those of A48 to A54 of the attack catalogue that touch the registry: other
repositories and actions, blobs of others, tags, lists, deleting, ended credentials and tokens.
"""

import base64
import json
import socket

import httpx
import pytest

from petrihub_core import instances
from petrihub_core.image_server import PUSH, Access, base_repository, checkpoint_repository
from petrihub_core.intents import START, STOP
from petrihub_core.names import normalise_workspace
from petrihub_images.app import make_app
from petrihub_images.documents import MANIFEST

from tests.images.conftest import BASE_DIGEST, BASE_IMAGE, Member, Site, digest

_ONE = pytest.mark.parametrize("site", ["sqlite"], indirect=True)  # the tables matter elsewhere


@pytest.fixture
async def secret(site: Site, ada: Member) -> str:
    """The digest of a layer that ada saved."""
    await site.ask(ada)
    order = await site.order(ada)
    result = await site.save(ada, order, {"opt/secret": b"ada's own"})
    assert (await site.report(ada, order["id"], result)).status_code == 204
    name: str = result["layer"]["digest"]
    return name


@pytest.fixture
async def saving(site: Site, eve: Member) -> str:
    """Eve is saving, so that she has the widest token there is."""
    await site.ask(eve)
    await site.order(eve)
    return await site.token(eve)


@_ONE
async def test_a_token_for_anything_but_ones_own_repository_is_refused(
    site: Site, ada: Member, eve: Member, saving: str
) -> None:
    params = {"service": "petrihub-images"}
    for scope in (
        f"repository:{ada.repository}:pull",
        f"repository:{ada.repository}:push",
        f"repository:{base_repository(BASE_IMAGE)}:pull",
        f"repository:{eve.repository}:delete",
        f"repository:{eve.repository}:*",
        f"repository:{eve.repository}/../../{ada.repository}:pull",
        "registry:catalog:*",
        "",
    ):
        answer = await site.call("GET", "/token", eve, params={**params, "scope": scope})
        assert answer.status_code in (400, 403), (scope, answer.text)
        assert "token" not in answer.json()
    two = [("scope", f"repository:{each.repository}:push") for each in (eve, ada)]
    answer = await site.call("GET", "/token", eve, params=[*params.items(), *two])
    assert answer.status_code == 400


@_ONE
async def test_blobs_of_others_can_be_neither_read_nor_mounted_nor_found_out(
    site: Site, ada: Member, eve: Member, saving: str, secret: str
) -> None:
    never = digest(b"nobody has this")
    for name in (secret, never):
        path = f"/v2/{eve.repository}/blobs/{name}"
        assert (await site.call("HEAD", path, saving)).status_code == 404
        assert (await site.call("GET", path, saving)).status_code == 404
        path = f"/v2/{ada.repository}/blobs/{name}"
        assert (await site.call("HEAD", path, saving)).status_code == 401
        begin = f"/v2/{eve.repository}/blobs/uploads/?mount={name}&from={ada.repository}"
        assert (await site.call("POST", begin, saving)).status_code == 401
        # without saying from where, it is an upload like any other: no word about the blob
        begin = f"/v2/{eve.repository}/blobs/uploads/?mount={name}"
        assert (await site.call("POST", begin, saving)).status_code == 202
    # a manifest that names another's layer is not taken
    config = json.dumps({"rootfs": {}}).encode()
    assert (await site.push_blob(eve.repository, saving, config)).status_code == 201
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": secret,
                "size": 1,
            }
        ],
    }
    answer, _ = await site.push_manifest(eve.repository, saving, document)
    assert answer.status_code == 400, answer.text


@_ONE
async def test_pushing_to_anothers_repository_is_refused(
    site: Site, ada: Member, saving: str
) -> None:
    assert (await site.push_blob(ada.repository, saving, b"evil")).status_code == 401
    answer, _ = await site.push_manifest(ada.repository, saving, {"schemaVersion": 2})
    assert answer.status_code == 401


@_ONE
async def test_nothing_is_kept_by_tag_nor_deleted_nor_listed(
    site: Site, eve: Member, saving: str
) -> None:
    await site.push_blob(eve.repository, saving, b"mine")
    for reference in ("latest", "%6catest", BASE_DIGEST.replace(":", "-")):
        answer, _ = await site.push_manifest(eve.repository, saving, {}, reference=reference)
        assert answer.status_code == 403, (reference, answer.text)
    # also with the widest token that there could be
    wide = site.hub_token(Access(eve.repository, ("pull", "push", "delete", "*")))
    for method, path in (
        ("DELETE", f"/v2/{eve.repository}/blobs/{digest(b'mine')}"),
        ("DELETE", f"/v2/{eve.repository}/manifests/{digest(b'mine')}"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/%5fcatalog"),
        ("GET", "//v2/_catalog"),
        ("GET", f"/v2/{eve.repository}/tags/list"),
        ("GET", f"/v2/{eve.repository}/manifests/latest"),
        ("PUT", "/v2/"),
        ("GET", "/debug/vars"),
        ("GET", "/sidecar/v1/order/../../../v2/_catalog"),
        ("GET", "/alive"),
    ):
        answer = await site.call(method, path, wide)
        assert answer.status_code == 403, (method, path, answer.status_code, answer.text)
    path = f"/v2/{eve.repository}/blobs/{digest(b'mine')}"
    assert (await site.call("HEAD", path, saving)).status_code == 200


@_ONE
async def test_bases_are_out_of_reach_of_workspaces(site: Site, saving: str) -> None:
    repository = base_repository(BASE_IMAGE)
    wide = site.hub_token(Access(repository, PUSH))
    for who in (saving, wide):
        for method, path in (
            ("GET", f"/v2/{repository}/manifests/{site.base_manifest}"),
            ("PUT", f"/v2/{repository}/manifests/{BASE_DIGEST.replace(':', '-')}"),
            ("HEAD", f"/v2/{repository}/blobs/{digest(site.base_layer)}"),
            ("POST", f"/v2/{repository}/blobs/uploads/"),
        ):
            assert (await site.call(method, path, who)).status_code == 403, (method, path)


@_ONE
async def test_what_is_pushed_cannot_be_other_than_its_digest(
    site: Site, eve: Member, saving: str
) -> None:
    begun = await site.call("POST", f"/v2/{eve.repository}/blobs/uploads/", saving)
    where = f"{begun.headers['Location']}&digest={digest(b'one thing')}"
    assert (await site.call("PUT", where, saving, content=b"another")).status_code == 400
    answer = await site.call(
        "PUT",
        f"/v2/{eve.repository}/manifests/{digest(b'one thing')}",
        saving,
        content=b'{"schemaVersion": 2}',
        headers={"Content-Type": MANIFEST},
    )
    assert answer.status_code == 400


@_ONE
async def test_tokens_that_ended_or_were_made_by_somebody_else_are_refused(
    site: Site, eve: Member, saving: str
) -> None:
    access = Access(eve.repository, PUSH)
    path = f"/v2/{eve.repository}/blobs/uploads/"
    hers = {"subject": eve.instance}
    assert (await site.call("POST", path, site.hub_token(access, **hers))).status_code == 202
    head, body, signature = saving.removeprefix("Bearer ").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["access"] = [{"type": "repository", "name": "x", "actions": ["*"]}]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for token in (
        site.hub_token(access, seconds=-120, **hers),
        site.hub_token(access),  # of nobody who runs
        f"Bearer {head}.{forged}.{signature}",
        f"Bearer {unsigned}.{body}.",
        f"Bearer {eve.credential}",
        None,
    ):
        assert (await site.call("POST", path, token)).status_code == 401, token


@_ONE
async def test_a_credential_ends_with_its_start_and_is_nobody_elses(
    site: Site, ada: Member, eve: Member
) -> None:
    order = "/sidecar/v1/order"
    assert (await site.call("GET", order, ada)).status_code == 204
    _, secret = ada.credential.split(".")
    basic = base64.b64encode(f"{ada.instance}:{secret}".encode()).decode()
    assert (await site.call("GET", order, f"Basic {basic}")).status_code == 204
    for credential in (
        f"Bearer {eve.instance}.{secret}",
        f"Bearer {ada.instance}.",
        f"Bearer {ada.instance}",
        "Bearer .",
        f"Bearer {'0' * 32}.{secret}",
        "Basic !!!",
        f"Bearer {'x' * 10_000}",
        None,
    ):
        assert (await site.call("GET", order, credential)).status_code == 401, credential
    async with site.database.session() as session:
        await instances.revoke(session, eve.person.id, eve.workspace)
    assert (await site.call("GET", order, eve)).status_code == 401
    await site.start(ada.person, ada.workspace, START)  # another start, with helpers of its own
    assert (await site.call("GET", order, ada)).status_code == 401
    fresh = await site.member("ada")
    assert (await site.call("GET", order, fresh)).status_code == 204
    await site.start(ada.person, ada.workspace, STOP)
    assert (await site.call("GET", order, fresh)).status_code == 401


@_ONE
async def test_nobody_speaks_about_anothers_order(site: Site, ada: Member, eve: Member) -> None:
    asked = await site.ask(ada)
    await site.order(ada)
    for answer in (
        await site.report(eve, asked.id, {"state": "failed", "reason": "ha"}),
        await site.call(
            "POST", f"/sidecar/v1/orders/{asked.id}/progress", eve, json={"stage": "packing"}
        ),
    ):
        assert answer.status_code == 404
    assert (await site.row(asked.id)).state == "saving"


@_ONE
async def test_without_an_order_to_save_nothing_can_be_pushed(site: Site, eve: Member) -> None:
    params = {"service": "petrihub-images", "scope": f"repository:{eve.repository}:push"}
    assert (await site.call("GET", "/token", eve, params=params)).status_code == 403
    assert (await site.token(eve, "pull")).startswith("Bearer ")


@_ONE
async def test_every_route_but_the_sign_of_life_asks_who_it_is(site: Site) -> None:
    app = make_app(None)  # type: ignore[arg-type]  # only its routes are looked at
    for route in app.routes:
        path = route.path.replace("{order_id}", "0" * 32)  # type: ignore[attr-defined]
        if path == "/alive":
            continue
        for method in route.methods:  # type: ignore[attr-defined]
            answer = await site.call(method, path, None, json={})
            # what the front itself asks has no way through it
            assert answer.status_code == (403 if path == "/registry/passed" else 401), path


@_ONE
async def test_large_bodies_end_at_the_front(site: Site, eve: Member, saving: str) -> None:
    answer = await site.call(
        "PUT",
        f"/v2/{eve.repository}/manifests/{digest(b'')}",
        saving,
        content=b"x" * (5 * 2**20),
        headers={"Content-Type": MANIFEST},
    )
    assert answer.status_code in (413, 502), answer.status_code  # as Caddy's version says it
    path = f"/v2/{eve.repository}/manifests/{digest(b'x' * (5 * 2**20))}"
    assert (await site.call("GET", path, saving)).status_code == 404


def test_two_workspaces_never_share_a_repository() -> None:
    names = ["a", "a-", "a--b", "a-b", "ab", "a-b-", "a--b-", "0", "0-"]
    found = {checkpoint_repository("0" * 32, normalise_workspace(name)) for name in names}
    assert len(found) == len(names)


@_ONE
def test_the_registry_itself_is_reached_by_this_machine_only(site: Site) -> None:
    for url in (site.server.registry, site.server.service):
        port = int(url.rpartition(":")[2])
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.2", port)) != 0
    assert httpx.get(f"{site.server.loopback}/token", trust_env=False).status_code == 403
