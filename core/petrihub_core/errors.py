"""One tree of errors that we can explain to the person who asked.

The message is shown to them; the chained cause goes to the log only.
"""


class PetriHubError(Exception):
    """Something went wrong, in words for the person, with the next step as `hint`."""

    status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def jupyterhub_message(self) -> str:
        """What JupyterHub's own pages show: the message and the next step."""
        return f"{self.message} {self.hint}".strip()

    @property
    def status_code(self) -> int:
        """The HTTP status under the name that tornado's error handling reads."""
        return self.status


class Refused(PetriHubError):
    """The request itself is wrong: unknown, malformed or forged."""

    status = 400


class NotAllowed(PetriHubError):
    """The request is well formed, but this person may not do it."""

    status = 403


class NotFound(PetriHubError):
    """There is no such thing, or it is not this person's to see."""

    status = 404


class Conflict(PetriHubError):
    """The thing exists already or is in another state than the request needs."""

    status = 409


class Throttled(PetriHubError):
    """Too many tries; `retry_after` is in seconds."""

    status = 429

    def __init__(self, message: str, *, retry_after: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unavailable(PetriHubError):
    """A part that we need does not answer now: engine, database, disk."""

    status = 503


class Unsupported(PetriHubError):
    """This deployment's backend cannot do it."""

    status = 501


class ConfigError(PetriHubError):
    """The start-time configuration is wrong; the start is refused."""
