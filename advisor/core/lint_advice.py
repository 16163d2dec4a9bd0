"""The linter's findings as advice in the plan of an objective of the user's own. Nothing of the space is changed."""

from __future__ import annotations

from advisor.core.deliberation import Outline
from advisor.core.lint import Finding, lint
from advisor.core.lint_properties import Circumstances, Parameter
from advisor.core.plan import Advice
from advisor.core.rules import Rulebook
from advisor.core.space import Choice


def space_advice(o: Outline, rulebook: Rulebook) -> tuple[Advice, ...]:
    """One tip a finding in the user's own space, faults first; none for a table, and where the objective tells its space as it runs.

    What the plan does by itself within the user's bounds, such as drawing on a logarithmic scale, is in its evidence and no finding.
    """
    if o.own is None or not len(o.own.space):
        return ()
    candidate = o.candidates[0]
    frozen = o.facts.answers.freeze
    drawn = candidate.space.parameters
    space = o.own.space.replace(**{n: drawn[n] if n in frozen else _as_drawn(p, drawn[n]) for n, p in o.own.space.items()})
    known = o.facts.answers.trials if o.facts.answers.trials is not None else o.trials if candidate.is_measured else None
    around = Circumstances(
        trials=known,
        fidelity=o.own.fidelity.name if o.own.fidelity is not None else None,
        is_unscaled=o.own.is_unscaled,
        refused=o.own.refused,
    )
    found = lint(space, rulebook.lints, rulebook.roles, rulebook.lessons, around=around)
    return tuple(_tip(f) for f in found if f.parameter not in frozen)


def _tip(finding: Finding) -> Advice:
    return Advice(rule=finding.id, text=f"{finding.says} {finding.cure}", source=finding.source)


def _as_drawn(given: Parameter, drawn: Parameter) -> Parameter:
    """What the user gave, on the scale on which the plan draws it."""
    if isinstance(given, Choice) or isinstance(drawn, Choice):
        return given
    return given.model_copy(update={"log": drawn.log})
