"""Text that others will read, without credentials in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_SECRET_NAME = re.compile(r"(?i)(key|token|secret|passw|credential|auth|_pwd$)")
_WORDS = r"(?:key|token|secret|passw(?:or)?d|pwd|credential)"
_IN_URL = re.compile(r"(?<=://)[^/@\s:]*(?::[^@\s]*)?@")
_IN_QUERY = re.compile(rf"(?i)((?:^|[?&;\s/\"'])(?:[a-z_]*{_WORDS})=)[^&\s'\"]+")
_IN_FLAG = re.compile(rf"(?i)((?:^|\s)--?(?:[a-z]+[-_])*{_WORDS}[= ]\s*)(?:'[^']*'|\"[^\"]*\"|\S+)")
_BEARER = re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]{6,}")
SHORTEST = 6
"""A value of fewer characters is no secret worth the name, and would be struck out of innocent words."""


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the variables of `environment` that are named like secrets, the longest first.

    >>> secret_values({"API_TOKEN": "abc123xyz", "HOME": "/home/me", "KEY": "a"})
    ('abc123xyz',)
    """
    found = {value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= SHORTEST}
    return tuple(sorted(found, key=lambda v: (-len(v), v)))


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without credentials in URLs, queries and flags, and without each of `secrets`.

    >>> without_secrets("postgres://me:pw@host/db")
    'postgres://…@host/db'
    >>> without_secrets("train.py --api-key s3cret --lr 0.1")
    'train.py --api-key … --lr 0.1'
    """
    for value in secrets:
        text = text.replace(value, "…")
    if "://" in text:
        text = _IN_URL.sub("…@", text)
    text = _IN_QUERY.sub(r"\1…", text)
    return _BEARER.sub(r"\1…", _IN_FLAG.sub(r"\1…", text))
