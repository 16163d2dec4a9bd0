"""The whole walk, composed once: facts → plan → run → outcome. Both doors and the Python interface call this.

Names are loaded on first use: a plan needs neither the journal nor the supervision.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.session.estimator import AdvisedSearchCV
    from advisor.session.exporting import export
    from advisor.session.following import Follower, RunSummary, find_run, follow, list_runs, send
    from advisor.session.gathering import gather
    from advisor.session.launching import execute, plan_and_facts, resume, start
    from advisor.session.outcomes import outcome, predict
    from advisor.session.planning import load_plan, recommend, rulebook, save_plan
    from advisor.session.reporting import report
    from advisor.session.tuning import tune

__all__ = [
    "AdvisedSearchCV",
    "Follower",
    "RunSummary",
    "execute",
    "export",
    "find_run",
    "follow",
    "gather",
    "list_runs",
    "load_plan",
    "outcome",
    "plan_and_facts",
    "predict",
    "recommend",
    "report",
    "resume",
    "rulebook",
    "save_plan",
    "send",
    "start",
    "tune",
]

_MODULES = {
    "estimator": ("AdvisedSearchCV",),
    "exporting": ("export",),
    "following": ("Follower", "RunSummary", "find_run", "follow", "list_runs", "send"),
    "gathering": ("gather",),
    "launching": ("execute", "plan_and_facts", "resume", "start"),
    "outcomes": ("outcome", "predict"),
    "planning": ("load_plan", "recommend", "rulebook", "save_plan"),
    "reporting": ("report",),
    "tuning": ("tune",),
}
_EXPORTS = {name: f"advisor.session.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'advisor.session' has no attribute {name!r}")
