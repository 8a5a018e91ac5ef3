"""E-mail: the page that says through which server, and the sending itself."""

import ipaddress
import os
import re
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import ClassVar, Literal

import aiosmtplib
from pydantic import Field, field_validator
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import settings
from petrihub_core.errors import Refused, Unavailable
from petrihub_core.settings import Secret, SettingsPage
from petrihub_core.settings.vault import Vault

_SECONDS = 15
# one line, one @, the characters of RFC 5322's atoms: nothing that could add a header
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}")
_PASSWORD = "password"  # noqa: S105 - the name of the secret, not the secret


class MailSettings(SettingsPage):
    """The server that takes our e-mail."""

    page: ClassVar[str] = "email"
    title: ClassVar[str] = "E-mail"
    summary: ClassVar[str] = "The server that takes PetriHub's e-mail. Without one, none is sent."
    secrets: ClassVar[tuple[Secret, ...]] = (
        Secret(
            name=_PASSWORD,
            title="Password",
            description="Of the user above; the server asks for it after the connection is secure.",
        ),
    )

    host: str = Field(
        "",
        title="Server",
        max_length=253,
        pattern=r"^[A-Za-z0-9.:-]*$",
        description="Name or address of the SMTP server. Empty: no e-mail is sent.",
    )
    port: int = Field(587, title="Port", ge=1, le=65535, description="Often 587, 465 or 25.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        title="Security",
        description="starttls: secured after the greeting (587); tls: from the start (465).",
    )
    user: str = Field(
        "", title="User", max_length=254, description="Empty: the server asks for no sign-in."
    )
    sender: str = Field(
        "", title="Sender", max_length=254, description="Address from which e-mail comes."
    )

    @field_validator("host")
    @classmethod
    def _is_a_server(cls, value: str) -> str:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return value
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            raise ValueError("a mail server cannot be at this address")
        return value

    @field_validator("user")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("only characters that can be printed")
        return value

    @field_validator("sender")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value and not _ADDRESS.fullmatch(value):
            raise ValueError("this is no e-mail address, such as petrihub@example.org")
        return value


async def send(session: AsyncSession, vault: Vault, *, to: str, subject: str, text: str) -> str:
    """Send one e-mail through the server of the settings; what the server said.

    Raises `Refused` for a wrong address or without a server, `Unavailable` with the server's words
    if it does not take it. The caller's session is only read.
    """
    chosen = await settings.read(session, MailSettings)
    password = await vault.open(session, chosen.page, _PASSWORD) if chosen.user else None
    if not chosen.host or not chosen.sender:
        raise Refused(
            "No mail server is set, or no sender.", hint="Fill in Server and Sender, then save."
        )
    if chosen.user and chosen.security == "none":
        raise Refused(
            "The password would travel in the clear.",
            hint="Choose starttls or tls, or leave User empty.",
        )
    return await _hand_over(chosen, password, _message(chosen.sender, to, subject, text))


def _message(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    if not _ADDRESS.fullmatch(to):
        raise Refused("This is no e-mail address.", hint="Example: ada@example.org")
    message = EmailMessage()  # refuses line breaks in headers by itself
    message["From"] = Address("PetriHub", addr_spec=sender)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = " ".join(subject.split())[:200]
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    message.set_content(text)
    return message


async def _hand_over(chosen: MailSettings, password: str | None, message: EmailMessage) -> str:
    server = f"{chosen.host}:{chosen.port}"
    try:
        _, said = await aiosmtplib.send(
            message,
            hostname=chosen.host,
            port=chosen.port,
            username=chosen.user or None,
            password=password,
            use_tls=chosen.security == "tls",
            start_tls=chosen.security == "starttls",
            timeout=_SECONDS,
        )
    except aiosmtplib.SMTPAuthenticationError as exc:
        raise Unavailable(
            f"{server} did not accept the user and password: {_server_words(exc)}",
            hint="Replace the password below, or correct the user.",
        ) from exc
    except aiosmtplib.SMTPResponseException as exc:
        raise Unavailable(
            f"{server} refused: {_server_words(exc)}", hint="Correct what it names, then try again."
        ) from exc
    except aiosmtplib.SMTPRecipientsRefused as exc:
        words = "; ".join(_server_words(each) for each in exc.recipients)
        raise Unavailable(f"{server} does not take e-mail for this address: {words}") from exc
    except (aiosmtplib.SMTPTimeoutError, TimeoutError) as exc:
        raise Unavailable(
            f"{server} did not answer within {_SECONDS} seconds.",
            hint="Check server and port. The port of tls answers nothing to starttls, and back.",
        ) from exc
    except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
        raise Unavailable(
            f"There is no mail connection to {server}: {_cause(exc)}.",
            hint="Check server, port and security.",
        ) from exc
    return said[:500]


def _cause(exc: Exception) -> str:
    """Why there is no connection, in the system's words."""
    root = exc.__cause__ or exc.__context__ or exc
    if isinstance(root, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({root.verify_message})"
    if isinstance(root, OSError) and root.errno and root.errno > 0:
        return os.strerror(root.errno)
    return str(root).strip(" .")[:300]


def _server_words(exc: aiosmtplib.SMTPResponseException) -> str:
    return f"{exc.code} {exc.message}".strip()[:300]
