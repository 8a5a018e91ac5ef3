"""Who may enter and who is an administrator: pure rules over an `Identity`.

Fails closed: an empty rule set, an unknown person or an unknown role admits nobody.
"""

from dataclasses import dataclass

from petrihub_authenticators.identity import Identity
from petrihub_core.records import Person

ADMIN = "admin"
RESEARCHER = "researcher"
ROLES = (RESEARCHER, ADMIN)

_ASK = "Ask an administrator."


@dataclass(frozen=True)
class Rules:
    """What an operator decided about who may enter."""

    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Admission:
    """The answer; `reason` is in words for the person and empty when they may enter."""

    allowed: bool
    admin: bool = False
    reason: str = ""


def admit(identity: Identity, person: Person | None, rules: Rules) -> Admission:
    """Whether this identity may enter as this person, and whether as an administrator."""
    if identity.issuer not in rules.issuers:
        return Admission(False, reason=f"This way to sign in is not in use here. {_ASK}")
    if person is None:
        return Admission(False, reason=f"There is no account for you here. {_ASK}")
    if (person.issuer, person.subject) != (identity.issuer, identity.subject):
        # the same name at another provider is another person
        return Admission(False, reason=f"This name belongs to somebody else here. {_ASK}")
    if not person.active:
        return Admission(False, reason=f"Your account was deactivated. {_ASK}")
    if person.role not in ROLES:
        return Admission(False, reason=f"Your account has a role that is not known here. {_ASK}")
    return Admission(True, admin=person.role == ADMIN)
