"""Who may enter, as one numbered table."""

import pytest

from petrihub_authenticators.admission import Admission, Rules, admit
from petrihub_authenticators.identity import Identity
from petrihub_core.records import Person

LOCAL = Rules(issuers=frozenset({"local"}))
ADA = Identity("local", "s1", "ada")


def person(**other: object) -> Person:
    facts = {"issuer": "local", "subject": "s1", "username": "ada"} | other
    return Person(**facts)


@pytest.mark.parametrize(
    ("number", "identity", "who", "rules", "allowed", "admin", "words"),
    [
        (1, ADA, person(), LOCAL, True, False, ""),
        (2, ADA, person(role="admin"), LOCAL, True, True, ""),
        (3, ADA, None, LOCAL, False, False, "no account"),
        (4, ADA, person(active=False), LOCAL, False, False, "deactivated"),
        (5, ADA, person(active=False, role="admin"), LOCAL, False, False, "deactivated"),
        (6, ADA, person(), Rules(), False, False, "not in use"),
        (7, ADA, person(), Rules(frozenset({"oidc"})), False, False, "not in use"),
        (8, ADA, person(subject="s2"), LOCAL, False, False, "somebody else"),
        (9, ADA, person(issuer="oidc"), LOCAL, False, False, "somebody else"),
        (10, ADA, person(role="owner"), LOCAL, False, False, "role"),
        (11, ADA, person(role=""), LOCAL, False, False, "role"),
        (12, ADA, person(role="ADMIN"), LOCAL, False, False, "role"),
        (13, Identity("local", "s1", "other-label"), person(), LOCAL, True, False, ""),
        (14, Identity("", "", ""), None, LOCAL, False, False, "not in use"),
    ],
)
def test_admission(
    number: int,
    identity: Identity,
    who: Person | None,
    rules: Rules,
    allowed: bool,
    admin: bool,
    words: str,
) -> None:
    answer = admit(identity, who, rules)
    assert (answer.allowed, answer.admin) == (allowed, admin), number
    assert words in answer.reason
    assert bool(answer.reason) is not allowed


def test_an_admission_admits_nobody_as_administrator_by_default() -> None:
    assert Admission(True).admin is False
