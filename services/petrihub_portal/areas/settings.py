"""The run-time settings pages."""

from fastapi.responses import Response

from petrihub_core import settings
from petrihub_core.errors import PetriHubError
from petrihub_core.roles import Permission
from petrihub_core.settings import SettingsPage
from petrihub_core.settings.fields import Invalid, as_text, controls, from_text
from petrihub_core.settings.pages import SiteSettings
from petrihub_core.settings.store import version_of
from petrihub_portal.accent import accent_css
from petrihub_portal.mail import MailSettings, send
from petrihub_portal.pages import go, page
from petrihub_portal.routing import Area, Open
from petrihub_portal.settings_pages import PAGES, keep_secret, look, page_model, past, secret_of
from petrihub_portal.visit import CurrentVisit, Form, Visit, form_of

area = Area("Settings")

READ, WRITE = Permission.SETTINGS_READ, Permission.SETTINGS_WRITE
_HISTORY = 50  # versions on the history page
_LARGE = 256 * 1024  # a CA bundle or a licence token may be long


def expected_version(form: Form) -> int | None:
    """The version that the form was made from; None if it does not say."""
    text = form.one("expected")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def where(model: type[SettingsPage]) -> str:
    """The panel's page with the form of these settings; ACME's is part of the page TLS."""
    return "admin/tls" if model.page == "acme" else f"admin/settings/{model.page}"


async def form_page(
    visit: Visit,
    model: type[SettingsPage],
    *,
    given: dict[str, str] | None = None,
    problem: PetriHubError | None = None,
) -> Response:
    """The page with its form; with what was typed and what is wrong with it."""
    async with visit.portal.database.reading() as session:
        found = await look(session, visit.portal.vault, model)
    errors = problem.errors if isinstance(problem, Invalid) else {}
    said = problem.jupyterhub_message if problem is not None and not errors else ""
    return await page(
        visit,
        "settings_page.html",
        status=problem.status if problem else 200,
        pages=PAGES,
        look=found,
        controls=controls(model, given if given is not None else as_text(found.values), errors),
        whole=errors.get("", ""),
        has_errors=bool(errors),
        error=said,
        may_write=visit.may(WRITE),
        can_test=model is MailSettings,
    )


@area.page("GET", "/admin/settings", needs=READ)
async def first(visit: CurrentVisit) -> Response:
    """The first page."""
    return go(visit, f"admin/settings/{PAGES[0].page}")


@area.page("GET", "/admin/settings/{name}", needs=READ)
async def show(visit: CurrentVisit, name: str) -> Response:
    """One page: form, secrets."""
    model = page_model(name)
    if model not in PAGES:
        return go(visit, where(model))
    return await form_page(visit, model)


@area.page("POST", "/admin/settings/{name}", needs=WRITE, max_body=_LARGE)
async def save(visit: CurrentVisit, name: str) -> Response:
    """Save the form as a new version."""
    model = page_model(name)
    form = await form_of(visit)
    given = {field: form.one(field) for field in model.model_fields}
    try:
        values = from_text(model, given)
        async with visit.portal.database.session() as session:
            await settings.write(
                session, values, by=visit.actor.name, expected=expected_version(form)
            )
    except PetriHubError as exc:
        if model not in PAGES:
            raise
        return await form_page(visit, model, given=given, problem=exc)
    return go(visit, where(model), said=f"{model.title} is saved and in force.")


@area.page("POST", "/admin/settings/{name}/secrets/{secret}", needs=WRITE, max_body=_LARGE)
async def set_secret(visit: CurrentVisit, name: str, secret: str) -> Response:
    """Set or replace a secret."""
    model = page_model(name)
    value = (await form_of(visit)).one("value")
    try:
        async with visit.portal.database.session() as session:
            await keep_secret(
                session, visit.portal.vault, model, secret, value, by=visit.actor.name
            )
    except PetriHubError as exc:
        return await form_page(visit, model, problem=exc)
    return go(visit, where(model), said=f"{secret_of(model, secret).title}: kept, sealed.")


@area.page("POST", "/admin/settings/{name}/secrets/{secret}/remove", needs=WRITE)
async def remove_secret(visit: CurrentVisit, name: str, secret: str) -> Response:
    """Forget a secret."""
    model = page_model(name)
    title = secret_of(model, secret).title
    async with visit.portal.database.session() as session:
        await visit.portal.vault.forget(session, model.page, secret, visit.actor.name)
    return go(visit, where(model), said=f"{title}: removed.")


@area.page("GET", "/admin/settings/{name}/history", needs=READ)
async def history(visit: CurrentVisit, name: str) -> Response:
    """Who changed what, when; with a button to put an older version back."""
    model = page_model(name)
    async with visit.portal.database.reading() as session:
        changes = await past(session, model, _HISTORY)
    return await page(
        visit,
        "settings_history.html",
        pages=PAGES,
        model=model,
        where=where(model),
        changes=changes,
        may_write=visit.may(WRITE),
    )


@area.page("POST", "/admin/settings/{name}/history/{version}/put-back", needs=WRITE)
async def put_back(visit: CurrentVisit, name: str, version: int) -> Response:
    """Make an older version the newest."""
    model = page_model(name)
    form = await form_of(visit)
    async with visit.portal.database.session() as session:
        await settings.put_back(
            session, model, version, by=visit.actor.name, expected=expected_version(form)
        )
    return go(visit, where(model), said=f"Version {version} is in force again.")


@area.page("POST", "/admin/settings/email/test", needs=WRITE)
async def test_mail(visit: CurrentVisit) -> Response:
    """Send a test e-mail and show what the server said."""
    to = (await form_of(visit)).one("to")
    try:
        said = await send_test(visit, to)
    except PetriHubError as exc:
        return await form_page(visit, MailSettings, problem=exc)
    return go(visit, where(MailSettings), said=f"The server took it and said: {said}")


async def send_test(visit: Visit, to: str) -> str:
    """One e-mail that says where it comes from; what the server said."""
    portal = visit.portal
    async with portal.database.reading() as session:
        return await send(
            session,
            portal.vault,
            to=to,
            subject="Test of PetriHub's e-mail",
            text=f"{visit.actor.name} sent this from {portal.deployment.public_url} to see "
            "whether e-mail works. It does.\n",
        )


@area.page("GET", "/site.css", needs=Open.EVERYBODY)
async def site_css(visit: CurrentVisit) -> Response:
    """The site's accent colour; empty when it is ours."""
    async with visit.portal.database.reading() as session:
        version = await version_of(session, SiteSettings)
        site = await settings.read(session, SiteSettings)
    return Response(
        accent_css(site.accent),
        media_type="text/css",
        headers={
            "Cache-Control": "public, max-age=60",
            "ETag": f'"{version}"',
            "X-Content-Type-Options": "nosniff",
        },
    )
