"""What the name of a column suggests. General words of the field only; a name never decides alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IDENTITY_WORDS = _words(
    """
    id ids uid uuid guid pk rowid idx index no nr nbr num number serial rownames rownum row rowname sno slno unnamed ssn hash
    token code key record rec
    """
)
"""Words for a running number or a name of one row."""

ENTITY_WORDS = _words(
    """
    group patient subject subj school customer client user household site store shop session person player team family batch
    cluster participant student teacher company firm station sensor device machine hospital clinic animal vehicle account speaker
    author block plot class classroom county village litter rater doctor physician operator donor member employee seller vendor
    product item engine unit
    """
)
"""Words for things that are measured several times."""

TIME_WORDS = _words(
    """
    date time timestamp datetime year yr month mnth mth day hour hr minute week quarter qtr period epoch ts ds dt dteday dob born
    created updated yyyymm yyyymmdd
    """
)
"""Words for moments and their parts."""

YEAR_WORDS = _words(
    """
    year yr jahr
    """
)
PART_WORDS = {
    "year": YEAR_WORDS,
    "quarter": frozenset({"quarter", "qtr"}),
    "month": frozenset({"month", "mnth", "mth"}),
    "week": frozenset({"week", "wk"}),
    "day": frozenset({"day", "dom"}),
    "hour": frozenset({"hour", "hr"}),
    "minute": frozenset({"minute"}),
}
"""Parts of a moment, from the coarsest to the finest."""

TARGET_WORDS = _words(
    """
    target label labels class classes outcome response dependent output result groundtruth truth
    """
)
"""Words that say: this is what is predicted."""

SUBJECT_WORDS = _words(
    """
    survived survival died death dead mortality churn churned exited attrition default defaulted fraud fraudulent diagnosis disease
    price sales cost charges salary income revenue demand quality rating score grade species approved subscribed converted clicked
    purchased bought deposit failure failed spam sentiment consumption strength yield severity risk winner won readmitted accepted
    admitted passed satisfaction wage profit stroke cancer malignant relapse recurrence
    """
)
"""Words for what people usually want to know; weaker than the ones above."""

VAGUE_WORDS = _words("sale click status count cnt total value stage win category type duration loss positive event response amount level")
"""Words that targets and features share; weaker still."""

AFTER_WORDS = _words(
    """
    post after final end followup later result outcome next
    """
)
BEFORE_WORDS = _words(
    """
    pre before initial baseline start prior previous
    """
)
"""A pair of names that differ in such a word tells what came later."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")


@lru_cache(maxsize=10_000)
def tokens(name: str) -> tuple[str, ...]:
    """The words of a name, lower-case: ``userId`` and ``user_id`` both give ``user``, ``id``."""
    parts = re.split(r"[^0-9A-Za-z]+", _CAMEL.sub(" ", name))
    return tuple(p.lower() for p in parts if p)


def speaks_of_identity(name: str) -> bool:
    """True when the name says that the values name something: it ends in such a word, or is nothing else."""
    words = tokens(name)
    if not words:
        return not name.strip()
    return words[-1] in IDENTITY_WORDS or (words[0] in {"id", "unnamed", "rownames"}) or (len(words) == 1 and words[0] in IDENTITY_WORDS)


def speaks_of_entity(name: str) -> bool:
    """True when the name speaks of something that is measured several times."""
    return bool(set(tokens(name)) & ENTITY_WORDS)


def speaks_of_time(name: str) -> bool:
    """True when the name speaks of a moment or a part of one."""
    return bool(set(tokens(name)) & TIME_WORDS)


def speaks_of_year(name: str) -> bool:
    """True when the name speaks of years."""
    return bool(set(tokens(name)) & YEAR_WORDS)


def came_after(name: str, names: Iterable[str]) -> bool:
    """True when the name says that something was measured afterwards, and another of `names` says the same thing before.

    >>> came_after("score_post", ["score_pre", "age"])
    True
    """
    words = tokens(name)
    late = [w for w in words if _is_after(w)]
    if not late:
        return False
    stem = [w for w in words if w not in late]
    return any(any(map(_is_before, other)) and [w for w in other if not _is_before(w)] == stem for other in map(tokens, names))


def is_named_target(name: str) -> bool:
    """True when the name says that this is what is predicted; a number of a class, such as a school's, is not."""
    words = tokens(name)
    if not words or speaks_of_identity(name):
        return False
    return words[-1] in TARGET_WORDS or words[0] in {"target", "label"} or name.strip().lower() == "y"


def _is_after(word: str) -> bool:
    return word in AFTER_WORDS or (word.startswith("post") and len(word) <= 8)


def _is_before(word: str) -> bool:
    return word in BEFORE_WORDS or (word.startswith("pre") and len(word) <= 7)


def time_part(name: str) -> str | None:
    """The part of a moment that the name is, such as ``month``; None when it is none or says more."""
    words = tokens(name)
    for part, spellings in PART_WORDS.items():
        if len(words) <= 2 and words and words[-1] in spellings:
            return part
    return None
