"""Safe names for people, workspaces and the outside objects that belong to them.

Promises: a normalised name normalises to itself; `external_name` is a valid DNS label for any
parts, and two different lists of parts never share one (user `a` with workspace `b-c` is not
user `a-b` with workspace `c`).
"""

import hashlib
import re
import unicodedata

from petrihub_core.errors import Refused

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_GROUP = re.compile(r"[a-z][a-z0-9-]{0,31}")
# names that mislead people about who speaks, or that file systems (con, nul) cannot hold
_RESERVED = frozenset(
    {
        "admin",
        "administrator",
        "root",
        "operator",
        "system",
        "support",
        "petrihub",
        "jupyterhub",
        "hub",
        "portal",
        "api",
        "services",
        "service",
        "user",
        "users",
        "group",
        "groups",
        "everybody",
        "con",
        "prn",
        "aux",
        "nul",
    }
) | {f"{device}{number}" for device in ("com", "lpt") for number in range(10)}
_RAW_LIMIT = 128  # characters looked at; NFKC of a megabyte is work that an attacker gets for free
_LABEL_LIMIT = 63  # RFC 1035: octets in one DNS label
_HASH_LENGTH = 12  # hex digits: 48 bits, collisions only by a search over names we do not allow

_USERNAME_RULE = (
    "Use 1 to 32 characters: letters a to z, digits, dot, hyphen and underscore, "
    "starting with a letter or digit."
)
_GROUP_RULE = "Use 1 to 32 characters: letters a to z, digits and hyphen, starting with a letter."
_WORKSPACE_RULE = (
    "Use 1 to 32 characters: letters a to z, digits and hyphen, starting with a letter or digit."
)


def _fold(raw: str) -> str:
    return unicodedata.normalize("NFKC", raw[:_RAW_LIMIT].strip()).casefold()


def normalise_username(raw: str) -> str:
    """The one form of a person's name; raises `Refused` if there is none."""
    name = _fold(raw)
    if len(raw) > _RAW_LIMIT or not _USERNAME.fullmatch(name):
        raise Refused("This is not a usable name for a person.", hint=_USERNAME_RULE)
    return name


def new_username(raw: str) -> str:
    """As `normalise_username`, for somebody who is new here: kept names are refused too."""
    return _not_reserved(normalise_username(raw))


def new_group_name(raw: str) -> str:
    """The one form of a new group's name; raises `Refused` if there is none or it is kept."""
    name = _fold(raw)
    if len(raw) > _RAW_LIMIT or not _GROUP.fullmatch(name):
        raise Refused("This is not a usable name for a group.", hint=_GROUP_RULE)
    return _not_reserved(name)


def _not_reserved(name: str) -> str:
    # "con.txt" is the same device as "con" where such names count
    if name.partition(".")[0] in _RESERVED:
        raise Refused(
            f"The name {name!r} is kept for the platform itself.", hint="Choose another name."
        )
    return name


def normalise_workspace(raw: str) -> str:
    """The one form of a workspace's name; raises `Refused` if there is none."""
    name = _fold(raw)
    if len(raw) > _RAW_LIMIT or not _WORKSPACE.fullmatch(name):
        raise Refused("This is not a usable name for a workspace.", hint=_WORKSPACE_RULE)
    return name


def external_name(prefix: str, *parts: str) -> str:
    """A DNS label (at most 63 octets) for an outside object, unique to `prefix` and `parts`."""
    # lengths are part of what is hashed, so that no choice of parts imitates the separator
    material = "".join(f"{len(part)}:{part}" for part in (prefix, *parts))
    digest = hashlib.sha256(material.encode()).hexdigest()[:_HASH_LENGTH]
    readable = re.sub(r"[^a-z0-9]+", "-", "-".join((prefix, *parts)).lower()).strip("-")
    if not readable[:1].isalpha():
        readable = f"x-{readable}"
    return f"{readable[: _LABEL_LIMIT - _HASH_LENGTH - 1].rstrip('-')}-{digest}"
