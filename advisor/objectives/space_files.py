"""Space files: a space as TOML, and a file that is changed without losing its comments."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.core.value import encode

Parameter = Float | Int | Choice

_KEPT = ("default", "hard", "when", "group", "priority")


def tables(space: SearchSpace) -> dict[str, Any]:
    """The space as a space file holds it, name to table; a plain list for a choice of which nothing else is said."""
    return {name: _table(parameter) for name, parameter in space.items()}


def _table(parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        out: dict[str, Any] = {"type": "choice", "choices": encode(parameter.choices)}
    else:
        out = {"type": parameter.type, "low": parameter.low, "high": parameter.high, **({"log": True} if parameter.log else {})}
    for key in _KEPT:
        value = getattr(parameter, key)
        if value is not None and value != type(parameter).model_fields[key].default:
            out[key] = encode(value) if not isinstance(value, str) else str(value)
    return out["choices"] if set(out) == {"type", "choices"} else out


def rendered(space: SearchSpace) -> str:
    """The space as the text of a space file, a line a hyperparameter."""
    return "".join(f"{_key(name)} = {_value(table)}\n" for name, table in tables(space).items())


def edited(text: str, before: SearchSpace, after: SearchSpace) -> str:
    """`text`, a space file that holds `before`, changed to hold `after`; comments and the lines of what stays are kept.

    Where the file is written in a way that cannot be changed in place, it is written anew.
    """
    out, wanted = text, tables(after)
    for name, parameter in after.items():
        if before.parameters.get(name) != parameter:
            out = _with_entry(out, name, wanted[name])
    try:
        holds = tomllib.loads(out)
    except tomllib.TOMLDecodeError:
        return rendered(after)
    inner = holds.get("space")
    if len(holds) == 1 and isinstance(inner, dict) and "type" not in inner:
        holds = inner
    changed = {n for n, p in after.items() if before.parameters.get(n) != p}
    if set(holds) != set(wanted) or any(holds[n] != wanted[n] for n in changed):
        return rendered(after)
    return out


def _with_entry(text: str, name: str, table: Any) -> str:
    """`text` with the line, or the table, of `name` exchanged."""
    spelled = rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')"
    line = re.compile(rf"^(?P<lead>[ \t]*{spelled}[ \t]*=[ \t]*)(?P<value>[^\n]*)$", re.MULTILINE)
    for found in line.finditer(text):
        end = _end_of_value(text, found.start("value"))
        if end is not None:
            return text[: found.start("value")] + _value(table) + text[end:]
    header = re.compile(rf"^[ \t]*\[(?:space\.)?{spelled}\][ \t]*(?:#[^\n]*)?$", re.MULTILINE)
    found_header = header.search(text)
    if found_header is None or not isinstance(table, Mapping):
        return text
    following = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, found_header.end())
    stop = following.start() if following else len(text)
    body = text[found_header.end() : stop]
    tail = body[len(body.rstrip()) :] or "\n"
    comments = "".join(f"\n{part.strip()}" for part in body.split("\n") if part.strip().startswith("#"))
    entries = "".join(f"\n{_key(key)} = {_value(value)}" for key, value in table.items())
    return text[: found_header.end()] + comments + entries + tail + text[stop:]


def _end_of_value(text: str, start: int) -> int | None:
    """Where the value that begins at `start` ends: the shortest stretch that is a whole TOML value; None when none is."""
    for end in (found.end() for found in re.finditer(r"[}\]]|[^\s,}\]#](?=\s|$|#)", text[start : start + 4000])):
        try:
            tomllib.loads(f"value = {text[start : start + end]}\n")
        except tomllib.TOMLDecodeError:
            continue
        rest = text[start + end :].split("\n", 1)[0].strip()
        if not rest or rest.startswith("#"):
            return start + end
    return None


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: Any) -> str:
    """`value` on one line of TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            return _text(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items()) + " }" if value else "{}"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
    raise ValueError(f"{value!r} has no place in a space file")


def _text(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
