"""Options: those of the questionnaire drawn from the fields of `Answers`, and the few that every command shares."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo

from advisor.cli.door import Door
from advisor.core.facts import Answers
from advisor.report.answering import literal
from advisor.report.wording import duration, parse_duration

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

READ_FROM_DATA = ("target", "task", "group", "time", "weights", "valid", "test", "drop")
"""Answers that the profile of the data depends on: with saved facts it is too late for them."""


class Duration(click.ParamType[float]):
    """A span of time: ``90s``, ``10m``, ``2h``, ``1h30m``, or a bare number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds. Raises: click.BadParameter when it is no span of time above zero."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is no span of time: {error}", param, ctx)


class Setting(click.ParamType[tuple[str, Any]]):
    """``NAME=VALUE``, the value read as JSON where it is JSON, else as text; ``none`` is no value."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Name and value. Raises: click.BadParameter when there is no ``=``."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not written as NAME=VALUE", param, ctx)
        return name.strip(), literal(text.strip())


def answer_options(command: Decorated) -> Decorated:
    """`command` with one option a field of `Answers`; its arguments then hold the fields, unanswered ones as None or empty."""
    for name, field in reversed(Answers.model_fields.items()):
        command = _option(name, field)(command)
    return command


def given_answers(arguments: dict[str, Any]) -> dict[str, Any]:
    """Takes the fields of `Answers` out of `arguments` and gives those that were answered."""
    taken = {name: arguments.pop(name) for name in Answers.model_fields if name in arguments}
    answered = {name: value for name, value in taken.items() if value is not None and value != ()}
    if "freeze" in answered:
        answered["freeze"] = dict(answered["freeze"])
    if "baseline" in answered:
        from advisor.session.gathering import read_baseline

        answered["baseline"] = read_baseline(answered["baseline"])
    return answered


def _option(name: str, field: FieldInfo) -> Callable[[Decorated], Decorated]:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    flag = str(extra.get("flag", "--" + name.replace("_", "-")))
    settings: dict[str, Any] = {"default": None, "help": _help(field, extra, name)}
    kind = _inner(field.annotation)
    if "file" in extra:
        settings |= {"type": click.STRING, "metavar": "FILE"}
    elif kind is bool:
        settings |= {"is_flag": True, "flag_value": True}
    elif name.endswith("_seconds"):
        settings["type"] = Duration()
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        settings["type"] = click.Choice([str(member) for member in kind])
    elif kind is int:
        least = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
        most = next((m.le for m in field.metadata if hasattr(m, "le")), None)
        settings |= {"type": click.IntRange(min=least, max=most), "metavar": "N"}
    elif kind is float:
        settings["type"] = click.FLOAT
    elif kind is tuple:
        settings |= {"multiple": True, "metavar": "COLUMN"}
    elif kind is dict:
        settings |= {"multiple": True, "type": Setting(), "metavar": "NAME=VALUE"}
    else:
        settings |= {"type": click.STRING, "metavar": "COLUMN" if "column" in str(extra.get("question", "")) else name.upper()}
    return click.option(flag, name, **settings)


def _inner(annotation: Any) -> Any:
    """The type without its None and without what it holds."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    return typing.get_origin(annotation) or annotation


def _help(field: FieldInfo, extra: dict[str, Any], name: str) -> str:
    """Question, meaning and default in one paragraph."""
    parts = [str(extra["question"])] if extra.get("question") else []
    parts.append(" ".join((field.description or "").replace("``", "").replace("`", "").split()))
    default = field.get_default(call_default_factory=True)
    if default not in (None, (), {}, False):
        shown = duration(default) if name.endswith("_seconds") else str(default)
        parts.append(f"[default: {shown}]")
    return " ".join(part for part in parts if part)


def runs_option(command: Decorated) -> Decorated:
    """`command` with ``--runs``."""
    return click.option(
        "--runs",
        type=click.Path(path_type=Path),
        default=Path("runs"),
        show_default=True,
        metavar="DIR",
        help="Folder that holds the runs.",
    )(command)


def json_option(command: Decorated) -> Decorated:
    """`command` with ``--json``; the door learns of it before anything can fail."""

    def seen(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
        context.obj.as_json = context.obj.as_json or value
        return value

    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, expose_value=False, callback=seen, help="Print JSON instead of text."
    )(command)


def look_options(command: Decorated) -> Decorated:
    """`command` with ``--ascii`` and ``--theme``; the door learns of the first before anything is written."""

    def seen(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
        context.obj.is_ascii = context.obj.is_ascii or value
        return value

    ascii_flag = click.option(
        "--ascii", "is_ascii", is_flag=True, is_eager=True, expose_value=False, callback=seen, help="Write nothing but ASCII."
    )
    theme = click.option("--theme", type=click.Choice(["dark", "light"]), default=None, help="Colours of the interface [default: dark].")
    return ascii_flag(theme(command))


def look_of(door: Door, theme: str | None) -> dict[str, Any]:
    """How the interface is to look, as far as it was said."""
    look = {"is_ascii": True} if door.is_ascii else {}
    return look if theme is None else {**look, "theme": theme}


def query_option(command: Decorated) -> Decorated:
    """`command` with ``--query``."""
    return click.option("--query", metavar="SQL", default=None, help="The SELECT to read, where DATA is a SQL URL.")(command)


def facts_options(command: Decorated) -> Decorated:
    """`command` with ``--facts`` and ``--save-facts``."""
    save = click.option(
        "--save-facts", type=click.Path(path_type=Path, dir_okay=False), default=None, metavar="FILE", help="Write the facts as JSON."
    )
    read = click.option(
        "--facts",
        "facts_file",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        metavar="FILE",
        help="Use saved facts instead of reading machine and data.",
    )
    return read(save(command))


def flags(names: Iterable[str]) -> str:
    """The flags of the named answers, for messages."""
    out = []
    for name in names:
        extra = Answers.model_fields[name].json_schema_extra
        out.append(str(extra["flag"]) if isinstance(extra, dict) and "flag" in extra else f"--{name}")
    return ", ".join(out)
