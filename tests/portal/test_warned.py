"""Every warning that the checkpointer knows is said in words."""

import pytest

from petrihub_portal.warned import LEFT_OUT, secrets_in, words_of
from petrihub_sidecars.checkpointer import compare, findings


@pytest.mark.parametrize(
    "pattern",
    [
        *findings._TEXTS,
        findings.SECRET_FILE,
        findings.WORKSPACE_TOKEN,
        compare.NOT_READABLE,
        compare.RESERVED_NAME,
    ],
)
def test_each_warning_has_words(pattern: str) -> None:
    assert words_of(pattern) != pattern


def test_what_is_left_out_is_no_secret_in_a_checkpoint() -> None:
    assert {compare.NOT_READABLE, compare.RESERVED_NAME} == LEFT_OUT
    left_out = {"path": "/opt/shut", "pattern": compare.NOT_READABLE}
    assert not secrets_in([left_out])
    assert secrets_in([left_out, {"path": "/opt/x.pem", "pattern": "private-key"}])
