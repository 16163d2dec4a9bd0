"""The report of a run as one HTML page that needs nothing else: no network, no script, light and dark, screen and paper."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.report.html_told import Told
from advisor.report.html_view import view
from advisor.report.wording import shown

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"


def report_html(told: Told) -> str:
    """The page. Every text from the data is escaped, control characters are shown as such, `told.secrets` are struck out."""
    return _template().render(**view(told), version=told.version, css=_style())


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    def written(value: Any) -> Any:
        # The view has cleaned what comes from the data; this holds for what it may have forgotten.
        return shown(value, longest=len(value), lines=True) if type(value) is str else value

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=written)
    return environment.from_string((TEMPLATES / "report.html").read_text(encoding="utf-8"))
