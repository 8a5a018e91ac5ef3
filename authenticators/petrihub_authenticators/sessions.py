"""Ending what the hub itself still holds of a person: cookies, tokens, running workspaces.

These live in JupyterHub's own tables, so they are changed through its own objects, on its loop.
"""

import asyncio
from typing import Any

from jupyterhub import orm

from petrihub_core.logs import get_logger

log = get_logger(__name__)

# JupyterHub gives its handlers and users no types; both are Any here on purpose
Handler = Any
HubUser = Any


def end_sessions(handler: Handler, name: str, *, keep_workspaces: bool) -> None:
    """Sign `name` out of all browsers and revoke their tokens.

    With `keep_workspaces`, running workspaces keep the token with which they report to the hub:
    without it, an analysis that runs for days would have to be stopped for a new password.
    """
    user = handler.find_user(name)
    if user is None:
        return
    kept = _workspace_tokens(handler.db, user) if keep_workspaces else set()
    # the login cookie holds this id: a new one ends every browser's sign-in
    user.orm_user.cookie_id = orm.new_token()
    for code in handler.db.query(orm.OAuthCode).filter_by(user_id=user.id):
        handler.db.delete(code)
    for token in handler.db.query(orm.APIToken).filter_by(user_id=user.id):
        if token.id not in kept:
            handler.db.delete(token)
    handler.db.commit()
    user._auth_refreshed = None  # our tables are asked at the very next request


def _workspace_tokens(db: Any, user: HubUser) -> set[int]:
    # by value, not by the token's note: a person writes the notes of their own tokens
    tokens = (
        orm.APIToken.find(db, spawner.api_token)
        for spawner in user.spawners.values()
        if spawner.active and spawner.api_token
    )
    return {token.id for token in tokens if token is not None}


async def stop_workspaces(handler: Handler, name: str) -> int:
    """Stop everything that `name` runs or is starting; gives how many that were.

    A stop that takes longer than the hub's `slow_stop_timeout` goes on by itself.
    """
    user = handler.find_user(name)
    if user is None:
        return 0
    active = [spawner for spawner in user.spawners.values() if spawner.active]
    # each may take its whole grace period: together they take no longer than the slowest
    await asyncio.gather(*(_stop(handler, user, spawner) for spawner in active))
    return len(active)


async def _stop(handler: Handler, user: HubUser, spawner: Any) -> None:
    await _interrupt_start(spawner)
    if spawner.pending:  # it is stopping already
        return
    try:
        await handler.stop_single_user(user, spawner.name)
    except RuntimeError as exc:  # somebody else's stop or rename came first
        log.warning("workspace not stopped", name=user.name, workspace=spawner.name, cause=str(exc))


async def _interrupt_start(spawner: Any) -> None:
    future = spawner._spawn_future
    if spawner.pending == "spawn" and future is not None:
        future.cancel()
        await asyncio.wait([future])
