"""The whole walk, composed once: facts → plan → run → outcome. Both doors and the Python interface call this."""

from __future__ import annotations

from advisor.session.following import Follower, RunSummary, find_run, follow, list_runs, send
from advisor.session.gathering import gather
from advisor.session.launching import execute, resume, start
from advisor.session.outcomes import outcome, predict
from advisor.session.planning import load_plan, recommend, rulebook, save_plan

__all__ = [
    "Follower",
    "RunSummary",
    "execute",
    "find_run",
    "follow",
    "gather",
    "list_runs",
    "load_plan",
    "outcome",
    "predict",
    "recommend",
    "resume",
    "rulebook",
    "save_plan",
    "send",
    "start",
]
