"""Linting a search space that a user names: a space file, something in a module, or a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.core.errors import InputError, nearest
from advisor.core.lint import Finding, lint
from advisor.core.lint_properties import Circumstances
from advisor.core.lint_repair import Repair, repair
from advisor.core.rules import Rulebook
from advisor.core.space import SearchSpace


@dataclass(frozen=True)
class Named:
    """A space and what is known around it."""

    space: SearchSpace
    """As it is written, sound or not."""
    around: Circumstances
    """What came with it."""
    text: str | None = None
    """The space file as it stands; None where it is no space file."""
    estimator: Any = None
    """The estimator that it is for, where one came with it."""


@dataclass(frozen=True)
class Looked:
    """What the linter has to say of a space."""

    space: SearchSpace
    """As it is written."""
    findings: tuple[Finding, ...]
    """Faults first; empty for a clean space."""
    repaired: SearchSpace
    """With every repair that is safe; the same where there is none."""
    repairs: tuple[Repair, ...]
    """What the repairs change."""
    left: tuple[Finding, ...]
    """Findings in the repaired space: what a human must decide."""
    text: str | None = None
    """The space file that was read; None where it is none."""


def lint_space(
    named: str,
    rulebook: Rulebook,
    *,
    trials: int | None = None,
    fidelity: str | None = None,
    model: str | None = None,
) -> Looked:
    """The findings in the space that `named` names, before and after the repairs that are safe.

    `named` is a space file, a plan (its first family's space), ``module:name`` or ``file.py:name`` of a space in any form that
    `advisor.tune` takes, of an objective whose module exports ``SPACE``, or of a search or an estimator of scikit-learn's.
    `trials` and `fidelity` (the name of the steps) are what the search would have; `model` is a family or ``module:name`` of
    an estimator, whose own checks and priorities then count.

    Raises: InputError when it cannot be read, or something is named that there is not.
    """
    found = read_named(named, rulebook)
    around = found.around.model_copy(update={k: v for k, v in (("trials", trials), ("fidelity", fidelity)) if v is not None})
    around = _with_model(around, found, model, rulebook)
    findings = lint(found.space, rulebook.lints, rulebook.roles, rulebook.lessons, around=around)
    repaired, repairs = repair(found.space, findings, rulebook.lints, rulebook.roles)
    left = lint(repaired, rulebook.lints, rulebook.roles, rulebook.lessons, around=around) if repairs else findings
    return Looked(found.space, findings, repaired, repairs, left, text=found.text)


def read_named(named: str, rulebook: Rulebook) -> Named:
    """The space that `named` names, with what came with it. Raises: as `lint_space`."""
    if ":" in named and not Path(named).is_file():
        return _from_module(named, rulebook)
    if not named.casefold().endswith(".toml"):
        raise InputError(
            "this is no search space", where=named, cure="Name a space file (.toml), a plan, or module:name of a space in Python."
        )
    from advisor.objectives.spaces import read_tables, unchecked_space

    tables = read_tables(named)
    if "rulebook_hash" in tables or "shortlist" in tables:
        return _of_plan(named)
    return Named(unchecked_space(tables, where=named), Circumstances(), text=Path(named).read_text(encoding="utf-8"))


def _of_plan(path: str) -> Named:
    from advisor.session.planning import load_plan

    plan, facts = load_plan(path)
    own = facts.objective if facts is not None else None
    fidelity = own.fidelity.name if own is not None and own.fidelity is not None else None
    space = own.space if own is not None and len(own.space) else plan.space
    trials = sum(stage.trials for stage in plan.stages)
    unscaled = own.is_unscaled if own is not None else False  # our own families scale where they need it
    return Named(space, Circumstances(trials=trials or None, fidelity=fidelity, is_unscaled=unscaled))


def _from_module(named: str, rulebook: Rulebook) -> Named:
    from advisor.objectives.loading import load_named
    from advisor.objectives.spaces import space_from

    found, module = load_named(named)
    fidelity = getattr(getattr(module, "FIDELITY", None), "name", None)
    around = Circumstances(fidelity=fidelity)
    if isinstance(found, SearchSpace | Mapping) or (isinstance(found, Sequence) and not isinstance(found, str | bytes)):
        return Named(space_from(_labelled(found), where=named), around)
    if hasattr(found, "get_params") and not isinstance(found, type):
        return _of_estimator(found, around, rulebook)
    told = getattr(found, "space", None) or (getattr(module, "SPACE", None) if callable(found) else None)
    if told is not None:
        return Named(space_from(told, where=named), around)
    raise InputError(
        f"{named.rpartition(':')[2]} is a {type(found).__name__} and brings no search space",
        where=named,
        cure="Name the space itself, or an objective whose module exports SPACE = {...}.",
    )


def _labelled(given: Any) -> Any:
    """`given` with a label for each object in its lists that a plan cannot hold, as an estimator's space has them."""
    if isinstance(given, SearchSpace):
        return given
    from advisor.objectives.estimator_space import labelled

    return labelled(given)[0]


def _of_estimator(found: Any, around: Circumstances, rulebook: Rulebook) -> Named:
    """The space of a search of scikit-learn's, or of `AdvisedSearchCV`; for a bare estimator that of its family."""
    from advisor.objectives.estimator_space import estimator_space, family_of, family_space, no_space

    estimator = getattr(found, "estimator", None)
    given = next((g for n in ("space", "param_distributions", "param_grid") if (g := getattr(found, n, None)) is not None), None)
    target = found if estimator is None or not hasattr(estimator, "get_params") else estimator
    if given is not None and target is not found:
        trials = getattr(found, "max_trials", None) or getattr(found, "n_iter", None)
        space = estimator_space(target, given).space
        return Named(space, around.model_copy(update={"trials": trials}), estimator=target)
    page = family_of(target, rulebook.families.values())
    if page is None:
        raise no_space(target, rulebook.families.values())
    family, prefix = page
    return Named(family_space(target, family.space, (), prefix).space, around, estimator=target)


def _with_model(around: Circumstances, found: Named, model: str | None, rulebook: Rulebook) -> Circumstances:
    """What a family or an estimator adds: its library's own checks, its priorities, and whether features are scaled before it."""
    estimator, family = found.estimator, None
    if model is not None and ":" in model:
        from advisor.objectives.loading import load_named

        estimator, _ = load_named(model)
        if not hasattr(estimator, "get_params") or isinstance(estimator, type):
            raise InputError(
                f"{model} is no estimator", where="--model", cure="Name an estimator that is made, as module:name, or a family."
            )
    elif model is not None:
        if model not in rulebook.families:
            raise InputError(f"no model family {model!r}", where="--model", cure=nearest(model, rulebook.families))
        family = rulebook.families[model]
        around = around.model_copy(update={"priorities": {n: p.priority for n, p in family.space.items() if p.priority is not None}})
    if estimator is None and family is None:
        return around
    from advisor.objectives.estimator_checks import estimator_of, is_unscaled, refused_values

    if estimator is None and family is not None:
        estimator = estimator_of(family)
        return around if estimator is None else around.model_copy(update={"refused": refused_values(estimator, found.space)})
    unscaled = is_unscaled(estimator, rulebook.families.values(), found.space)
    return around.model_copy(update={"refused": refused_values(estimator, found.space), "is_unscaled": unscaled})


def written_file(looked: Looked) -> str:
    """The repaired space as a space file: the one that was read with its comments, or a new one."""
    from advisor.objectives.space_files import edited, rendered

    return rendered(looked.repaired) if looked.text is None else edited(looked.text, looked.space, looked.repaired)


def keep_original(path: Path) -> Path:
    """Where the file as it was is kept: ``space.toml.bak``, or ``.bak2`` … where that is taken already.

    Raises: InputError when it cannot be written.
    """
    place = next(p for n in range(1, 10_000) if not (p := path.with_name(f"{path.name}.bak{n if n > 1 else ''}")).exists())
    try:
        place.write_bytes(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"the original cannot be kept: {error.strerror}", where=str(place), cure="Write elsewhere with --out FILE."
        ) from error
    return place
