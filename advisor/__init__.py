"""Tuning Advisor: recommends how to tune a model on this machine and these data, proves why, and does it.

Names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "gather": "advisor.session",
    "recommend": "advisor.session",
    "execute": "advisor.session",
    "tune": "advisor.session",
    "AdvisedSearchCV": "advisor.session",
    "Float": "advisor.core.space",
    "Int": "advisor.core.space",
    "Choice": "advisor.core.space",
    "SearchSpace": "advisor.core.space",
    "Facts": "advisor.core.facts",
    "Unknown": "advisor.core.facts",
    "Plan": "advisor.core.plan",
    "Differentiable": "advisor.objectives.differentiable",
    "Fidelity": "advisor.core.objective",
    "Measurement": "advisor.core.ports",
    "AdvisorError": "advisor.core.errors",
}
__all__ = [
    "AdvisedSearchCV",
    "AdvisorError",
    "Choice",
    "Differentiable",
    "Facts",
    "Fidelity",
    "Float",
    "Int",
    "Measurement",
    "Plan",
    "SearchSpace",
    "Unknown",
    "__version__",
    "execute",
    "gather",
    "recommend",
    "tune",
]

if TYPE_CHECKING:
    from advisor.core.errors import AdvisorError
    from advisor.core.facts import Facts, Unknown
    from advisor.core.objective import Fidelity
    from advisor.core.plan import Plan
    from advisor.core.ports import Measurement
    from advisor.core.space import Choice, Float, Int, SearchSpace
    from advisor.objectives.differentiable import Differentiable
    from advisor.session import AdvisedSearchCV, execute, gather, recommend, tune


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'advisor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
