"""Errors of the user half: words for the person, and what to do next."""


class AppError(Exception):
    """Something we can explain to the person who asked; becomes a JSON answer."""

    status = 400

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnknownApp(AppError):
    """There is no such app, instance or file in this workspace."""

    status = 404


class AppBusy(AppError):
    """The request makes sense, but not in the state that the app is in."""

    status = 409


class StartFailed(Exception):
    """A start that ended; the text is the reason in words, shown on the tile."""
