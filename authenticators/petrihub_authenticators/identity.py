"""Who somebody is, as a provider proved it. Says nothing about whether they may enter."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """A proven person: (issuer, subject) is the key, the name is only a label."""

    issuer: str
    subject: str
    username: str
