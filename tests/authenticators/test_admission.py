"""Who may enter, as one numbered table."""

import pytest

from petrihub_authenticators.admission import Rules, admit
from petrihub_authenticators.identity import Identity
from petrihub_core.records import Person

LOCAL = Rules(issuers=frozenset({"local"}))
ADA = Identity("local", "s1", "ada")


def person(**other: object) -> Person:
    facts = {"issuer": "local", "subject": "s1", "username": "ada"} | other
    return Person(**facts)


@pytest.mark.parametrize(
    ("number", "identity", "who", "rules", "allowed", "words"),
    [
        (1, ADA, person(), LOCAL, True, ""),
        (2, ADA, None, LOCAL, False, "no account"),
        (3, ADA, person(active=False), LOCAL, False, "deactivated"),
        (4, ADA, person(), Rules(), False, "not in use"),
        (5, ADA, person(), Rules(frozenset({"oidc"})), False, "not in use"),
        (6, ADA, person(subject="s2"), LOCAL, False, "somebody else"),
        (7, ADA, person(issuer="oidc"), LOCAL, False, "somebody else"),
        (8, Identity("local", "s1", "other-label"), person(), LOCAL, True, ""),
        (9, Identity("", "", ""), None, LOCAL, False, "not in use"),
    ],
)
def test_admission(
    number: int,
    identity: Identity,
    who: Person | None,
    rules: Rules,
    allowed: bool,
    words: str,
) -> None:
    answer = admit(identity, who, rules)
    assert answer.allowed is allowed, number
    assert words in answer.reason
    assert bool(answer.reason) is not allowed
