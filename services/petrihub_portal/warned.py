"""What the checkpointer warns of before a save, in words for people.

The names are those of `petrihub_sidecars.checkpointer.findings`; one that is not known here is
shown as it is.
"""

from collections.abc import Iterable, Mapping

# nothing of such a file is saved: an unreadable one, and a name that images keep for deletions
LEFT_OUT = frozenset({"not-readable", "reserved-name"})
_WORDS = {
    "private-key": "a private key",
    "aws-key": "an access key of AWS",
    "github-token": "a token of GitHub",
    "gitlab-token": "a token of GitLab",
    "hugging-face-token": "a token of Hugging Face",
    "slack-token": "a token of Slack",
    "google-key": "a key of Google",
    "pypi-token": "a token of PyPI",
    "npm-token": "a token of npm",
    "workspace-token": "a token of this workspace",
    "secret-file": "files of this name often hold passwords, keys or what somebody typed",
    "not-readable": "cannot be read, so it would be left out",
    "reserved-name": "images keep such names for deletions, so it would be left out",
}


def words_of(pattern: str) -> str:
    """Why a file is warned of."""
    return _WORDS.get(pattern, pattern)


def secrets_in(findings: Iterable[Mapping[str, str]]) -> bool:
    """Whether what was saved with these warnings holds what looks like a key or a password."""
    return any(each.get("pattern") not in LEFT_OUT for each in findings)
