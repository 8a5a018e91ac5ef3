"""E-mail through a real server: STARTTLS, sign-in, its words, no way into the headers."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import ValidationError

from petrihub_core import settings
from petrihub_core.database import Database
from petrihub_core.errors import Refused, Unavailable
from petrihub_core.ports import free_port
from petrihub_core.records import now
from petrihub_core.settings.vault import Vault
from petrihub_portal.certificates import self_signed
from petrihub_portal.mail import MailSettings, send

PASSWORD = "correct horse battery staple"


class Box:
    """What arrived; some addresses are not taken."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        return "250 Kept as number 17"


def check(server: SMTP, session: Session, envelope: Envelope, how: str, data: object) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def server(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    """A server that demands STARTTLS and a password, with a certificate that we trust."""
    pair = self_signed("127.0.0.1", now())
    (tmp_path / "pem").write_text(pair.key + pair.chain)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pem"))
    started = Controller(
        box,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=check,
    )
    started.start()
    yield started
    started.stop()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "keys")


async def save(database: Database, vault: Vault, password: str, **values: object) -> None:
    async with database.session() as session:
        page = MailSettings(host="127.0.0.1", sender="hub@example.org", **values)  # type: ignore[arg-type]
        await settings.write(session, page, by="ada")
        await vault.seal(session, "email", "password", password, "ada")


async def post(database: Database, vault: Vault, to: str = "ada@example.org") -> str:
    async with database.reading() as session:
        return await send(session, vault, to=to, subject="Hello\r\nBcc: eve@evil", text="Words.")


async def test_e_mail_arrives_through_starttls_with_a_sign_in(
    server: Controller, box: Box, database: Database, vault: Vault
) -> None:
    await save(database, vault, PASSWORD, port=server.port, user="hub")
    assert "Kept as number 17" in await post(database, vault)
    [envelope] = box.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("hub@example.org", ["ada@example.org"])
    content = envelope.content
    assert isinstance(content, bytes)
    headers = content.split(b"\r\n\r\n")[0].split(b"\r\n")
    assert b"Subject: Hello Bcc: eve@evil" in headers  # one header, not two
    assert not any(line.startswith(b"Bcc:") for line in headers)


async def test_a_wrong_password_is_told_in_the_servers_words_without_the_password(
    server: Controller, database: Database, vault: Vault
) -> None:
    await save(database, vault, "a wrong one", port=server.port, user="hub")
    with pytest.raises(Unavailable, match="did not accept the user and password: 535") as refused:
        await post(database, vault)
    assert "a wrong one" not in refused.value.jupyterhub_message


async def test_an_address_that_the_server_does_not_take_is_told(
    server: Controller, database: Database, vault: Vault
) -> None:
    await save(database, vault, PASSWORD, port=server.port, user="hub")
    with pytest.raises(Unavailable, match="550 No such mailbox here"):
        await post(database, vault, "nobody@example.org")


async def test_a_server_whose_certificate_nobody_vouches_for_gets_no_password(
    server: Controller,
    box: Box,
    database: Database,
    vault: Vault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    await save(database, vault, PASSWORD, port=server.port, user="hub")
    with pytest.raises(Unavailable, match="its certificate is not trusted"):
        await post(database, vault)
    assert box.envelopes == []


async def test_no_password_travels_in_the_clear(database: Database, vault: Vault) -> None:
    await save(database, vault, PASSWORD, port=25, user="hub", security="none")
    with pytest.raises(Refused, match="in the clear"):
        await post(database, vault)


async def test_a_server_that_is_not_there_or_says_nothing_is_told(
    database: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(database, vault, PASSWORD, port=free_port())
    with pytest.raises(Unavailable, match=r"no mail connection to .*: Connection refused"):
        await post(database, vault)
    monkeypatch.setattr("petrihub_portal.mail._SECONDS", 0.3)
    silent = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    await save(database, vault, PASSWORD, port=silent.sockets[0].getsockname()[1])
    with pytest.raises(Unavailable, match="did not answer within"):
        await post(database, vault)
    silent.close()


async def test_without_a_server_nothing_is_sent(database: Database, vault: Vault) -> None:
    with pytest.raises(Refused, match="No mail server is set"):
        await post(database, vault)


@pytest.mark.parametrize(
    "values",
    [
        {"sender": "a@b\r\nBcc: eve@evil"},
        {"sender": "Ada <ada@example.org>"},
        {"sender": "ada"},
        {"user": "a\r\nb"},
        {"host": "mail.example.org\r\nQUIT"},
        {"host": "169.254.169.254"},
        {"host": "mail/../x"},
        {"port": 0},
        {"security": "maybe"},
    ],
)
def test_what_could_add_a_header_or_lead_elsewhere_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MailSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("to", ["a@b\nBcc: c@d", "a@b, c@d", "ada", "<a@b>", "a b@c"])
async def test_an_e_mail_goes_to_one_address_only(
    to: str, database: Database, vault: Vault
) -> None:
    await save(database, vault, PASSWORD, port=25)
    with pytest.raises(Refused, match="no e-mail address"):
        await post(database, vault, to)
