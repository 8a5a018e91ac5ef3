"""Who may enter: pure rules over an `Identity`. What they may do is `petrihub_core.roles`.

Fails closed: an empty rule set or an unknown person admits nobody.
"""

from dataclasses import dataclass

from petrihub_authenticators.identity import Identity
from petrihub_core.records import Person

_ASK = "Ask an administrator."


@dataclass(frozen=True)
class Rules:
    """What an operator decided about who may enter."""

    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Admission:
    """The answer; `reason` is in words for the person and empty when they may enter."""

    allowed: bool
    reason: str = ""


def admit(identity: Identity, person: Person | None, rules: Rules) -> Admission:
    """Whether this identity may enter as this person."""
    if identity.issuer not in rules.issuers:
        return Admission(False, reason=f"This way to sign in is not in use here. {_ASK}")
    if person is None:
        return Admission(False, reason=f"There is no account for you here. {_ASK}")
    if (person.issuer, person.subject) != (identity.issuer, identity.subject):
        # the same name at another provider is another person
        return Admission(False, reason=f"This name belongs to somebody else here. {_ASK}")
    if not person.active:
        return Admission(False, reason=f"Your account was deactivated. {_ASK}")
    return Admission(True)
