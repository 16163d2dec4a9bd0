"""The search of an exported script: the race of the starts, and each strategy with the library that executes it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from advisor.core.plan import Strategy
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.report.script_brief import Brief, SpaceCode, StageCode, literal

OPTUNA = frozenset({Strategy.TPE, Strategy.GP, Strategy.CMAES, Strategy.QMC, Strategy.ASHA, Strategy.HYPERBAND})
SCIKIT = frozenset({Strategy.RANDOM, Strategy.PORTFOLIO, Strategy.GRID})
EXPORTED = OPTUNA | SCIKIT | {Strategy.DEFAULT, Strategy.HALVING}
"""Strategies of which a script can be written."""


@dataclass(slots=True)
class Search:
    """The search as code."""

    imports: set[str] = field(default_factory=set)
    """One import of one name each."""
    blocks: list[str] = field(default_factory=list)
    """Top-level definitions, in order."""
    calls: list[str] = field(default_factory=list)
    """Statements of ``main``."""


def searches(brief: Brief) -> Search:
    """Race and stages of `brief`."""
    out = Search(blocks=[_race(brief)], calls=["race()"])
    strategies = {s.strategy for s in brief.stages}
    if strategies & OPTUNA:
        _optuna(brief, out)
    ladders = [s.ladder for s in brief.stages if s.ladder is not None]
    if strategies & {Strategy.RANDOM, Strategy.PORTFOLIO} or any(not ladder.is_grid for ladder in ladders):
        _random(brief, out)
    if Strategy.GRID in strategies or any(ladder.is_grid for ladder in ladders):
        _grid(brief, out)
    if ladders:
        _halving(brief, out)
    for stage in brief.stages:
        family = literal(stage.family) if stage.family else 'best(stages=("pilot",))["family"]'
        out.calls.append(_call(stage, family))
    return out


def _call(stage: StageCode, family: str) -> str:
    most = "" if stage.trials is None else f", trials={stage.trials}"
    match stage.strategy:
        case Strategy.GRID if stage.name == "fine":
            return f"search_fine({literal(stage.name)}, {family}{most})"
        case Strategy.GRID:
            return f"search_grid({literal(stage.name)}, {family}{most})"
        case Strategy.RANDOM | Strategy.PORTFOLIO:
            return f"search_random({literal(stage.name)}, {family}{most})"
        case Strategy.HALVING:
            return f"search_halving({literal(stage.name)}, {family})"
        case _:
            return f"search_with_optuna({literal(stage.name)}, {family}{most})"


# the race -------------------------------------------------------------------------------------------------------------


def _race(brief: Brief) -> str:
    if brief.race:
        rows = "".join(f"    ({literal(family)}, {literal(config)}),\n" for family, config in brief.race)
        return f"RACE = [\n{rows}]\n" + '"""The default and the starts, in the order in which the run evaluated them."""\n\n\n' + _TOLD_RACE
    rows = "".join(
        f"    {literal(s.family)}: [\n" + "".join(f"        {literal(c)},\n" for c in s.starts) + "    ],\n" for s in brief.spaces
    )
    return (
        f"STARTS = {{\n{rows}}}\n"
        '"""Family to configurations with a published source, the default first."""\n'
        f"RACE_SECONDS = {brief.pilot_seconds:g}\nRACE_TRIALS = {brief.race_trials}\n\n\n{_OPEN_RACE}"
    )


_TOLD_RACE = '''def race() -> None:
    """Evaluates the default and the starts."""
    for family, config in RACE:
        if not is_over():
            run_trial("pilot", family, dict(config))'''
_OPEN_RACE = '''def race() -> None:
    """Evaluates every family's default, then the starts of whichever leads, as long as the race may take."""
    left = {family: [dict(config) for config in configs] for family, configs in STARTS.items()}
    for family in STARTS:
        if not is_over():
            run_trial("pilot", family, left[family].pop(0))
    while not is_over() and time.monotonic() - BEGAN < RACE_SECONDS and left[best()["family"]]:
        if RACE_TRIALS is not None and len(DONE) >= RACE_TRIALS:
            return
        run_trial("pilot", best()["family"], left[best()["family"]].pop(0))'''


# scikit-learn ---------------------------------------------------------------------------------------------------------


def _random(brief: Brief, out: Search) -> None:
    out.imports |= {"from sklearn.model_selection import ParameterSampler"}
    rows = []
    for code in brief.spaces:
        parts = [
            "{" + ", ".join(f"{literal(n)}: {_distribution(code.space.parameters[n], v, out)}" for n, v in branch.items()) + "}"
            for branch in code.branches
        ]
        rows.append(f"    {literal(code.family)}: {parts[0] if len(parts) == 1 else '[' + ', '.join(parts) + ']'},\n")
    n_iter = next((s.n_iter for s in brief.stages if s.strategy in (Strategy.RANDOM, Strategy.PORTFOLIO)), None)
    plainly = "" if n_iter is None else f"MOST_DRAWS = {n_iter}\n\n\n{_RANDOM}"
    out.blocks.append(f"DISTRIBUTIONS = {{\n{''.join(rows)}}}\n{plainly}")


def _distribution(parameter: Float | Int | Choice, values: Any, out: Search) -> str:
    if values is not None:
        return literal(list(values))
    match parameter:
        case Choice():
            return literal(list(parameter.choices))
        case Float() | Int() if parameter.low == parameter.high:
            return literal([parameter.low])
        case Float(log=True):
            out.imports.add("from scipy.stats import loguniform")
            return f"loguniform({parameter.low!r}, {parameter.high!r})"
        case Float():
            out.imports.add("from scipy.stats import uniform")
            return f"uniform({parameter.low!r}, {parameter.high - parameter.low!r})  # from {parameter.low!r} to {parameter.high!r}"[
                : -len(f"  # from {parameter.low!r} to {parameter.high!r}")
            ]
        case Int(log=True):
            return f"IntLogUniform({parameter.low}, {parameter.high})"
        case Int():
            out.imports.add("from scipy.stats import randint")
            return f"randint({parameter.low}, {parameter.high + 1})"


def _halving(brief: Brief, out: Search) -> None:
    ladder = next(s.ladder for s in brief.stages if s.ladder is not None)
    out.imports |= {"import math", "from sklearn.utils import resample"}
    candidates = "list(ParameterGrid(GRIDS[family]))" if ladder.is_grid else _DRAWN
    settings = (
        f"CANDIDATES = {ladder.candidates}  # on the first rung: as many as the time affords\n"
        f"FEWEST_ROWS = {ladder.least_rows}  # of the first rung: fewer rank by noise\n"
        f"FACTOR = {ladder.factor}  # one of so many climbs to the next rung, which has so many times the rows\n"
        f"FINALISTS = {ladder.finalists}  # candidates of the last rung that are evaluated on all rows"
    )
    name = "HalvingGridSearchCV" if ladder.is_grid else "HalvingRandomSearchCV"
    out.blocks.append(f"{settings}\n\n\n{_HALVING.format(candidates=candidates, name=name)}")


_DRAWN = (
    "[\n"
    '        {n: v.item() if hasattr(v, "item") else v for n, v in drawn.items()}\n'
    "        for drawn in ParameterSampler(DISTRIBUTIONS[family], CANDIDATES, random_state=SEED)\n"
    "    ]"
)
_HALVING = '''def parts_of(rows: int) -> list[tuple[Any, Any]]:
    """The splits, both parts of each cut to their share of `rows`. What is few lies within what is more."""
    out = []
    for pair in FOLDS:
        share = rows / (len(pair[0]) + len(pair[1]))
        train, test = (resample(part, replace=False, random_state=SEED, n_samples=int(share * len(part))) for part in pair)
        out.append((train, test))
    return out


def search_halving(stage: str, family: str) -> None:
    """{name}: all candidates on few rows, the best third on thrice as many, and so on; then the finalists on all rows."""
    candidates = {candidates}
    whole, powers = len(DEVELOPMENT), math.floor(math.log(len(candidates), FACTOR))
    rows = max(FEWEST_ROWS, whole // FACTOR**powers)
    rungs = 1 + min(math.floor(math.log(whole // rows, FACTOR)), powers)
    for rung in range(rungs):
        given = min(rows * FACTOR**rung, whole)
        pairs, scores = parts_of(given), []
        for config in candidates:
            if is_over():
                return
            trial = run_trial(stage, family, config, rows=given, pairs=pairs)
            scores.append(trial["scores"] if trial["status"] == "completed" else [math.nan] * len(FOLDS))
        means = np.average(SIGN * np.array(scores), axis=1)
        failed = int(np.isnan(means).sum())
        order = np.roll(np.argsort(means), failed)  # the worst first; argsort puts what failed last
        if rung == rungs - 1:
            best_first = sorted(range(len(means)), key=lambda i: (-means[i], i) if means[i] == means[i] else (math.inf, i))
            finalists = [candidates[i] for i in best_first[: min(FINALISTS, len(means) - failed)]]
        candidates = [candidates[i] for i in order[-math.ceil(len(candidates) / FACTOR) :]]
    for config in finalists:
        if is_over():
            return
        run_trial(stage, family, config)'''
_RANDOM = '''def search_random(stage: str, family: str, trials: int | None = None) -> None:
    """The candidates of RandomizedSearchCV, which draws them with ParameterSampler."""
    draws = ParameterSampler(DISTRIBUTIONS[family], MOST_DRAWS, random_state=SEED)
    for number, drawn in enumerate(draws):
        if is_over() or (trials is not None and number >= trials):
            return
        run_trial(stage, family, {n: v.item() if hasattr(v, "item") else v for n, v in drawn.items()})'''


def _grid(brief: Brief, out: Search) -> None:
    out.imports |= {"from sklearn.model_selection import ParameterGrid"}
    rows = "".join(f"    {literal(c.family)}: {literal([dict(g) for g in c.grid])},\n" for c in brief.spaces)
    block = f"GRIDS = {{\n{rows}}}"
    if any(s.strategy is Strategy.GRID for s in brief.stages):
        block += f"\n\n\n{_GRID}"
    if any(s.strategy is Strategy.GRID and s.name == "fine" for s in brief.stages):
        levels = "".join(f"    {literal(c.family)}: {literal(dict(c.levels))},\n" for c in brief.spaces)
        spaces = "".join(f"    {literal(c.family)}: {_space(c.space)},\n" for c in brief.spaces)
        block += f"\n\n\nLEVELS = {{\n{levels}}}\nSPACES = {{\n{spaces}}}\n\n\n{_FINE}"
    out.blocks.append(block)


_GRID = '''def search_grid(stage: str, family: str, trials: int | None = None) -> None:
    """The candidates of GridSearchCV, which lists them with ParameterGrid."""
    for config in ParameterGrid(GRIDS[family]):
        if is_over():
            return
        run_trial(stage, family, dict(config))'''
_FINE = '''def search_fine(stage: str, family: str, trials: int) -> None:
    """A finer grid around the best so far; where that lies on a soft edge, the grid moves on beyond it."""
    space = SPACES[family]
    around = refine(space, best(family, ("pilot", "coarse"))["config"], LEVELS[family], trials)
    for config in ParameterGrid(branches(space.restrict(list(around)), around)):
        if is_over():
            return
        run_trial(stage, family, dict(config))'''
SPACE_STAND_INS = '''@dataclass
class Float:
    """A real number in [low, high]; a soft bound may be left."""

    low: float
    high: float
    log: bool = False
    hard: bool = True
    default: Any = None
    priority: int | None = None
    when: dict[str, tuple[Any, ...]] | None = None

    def is_active(self, config: Any) -> bool:
        """True when every condition holds."""
        return all(name in config and config[name] in values for name, values in (self.when or {}).items())


class Int(Float):
    """An integer in [low, high]."""


@dataclass
class Choice:
    """One of a few values."""

    choices: tuple[Any, ...]
    default: Any = None
    priority: int | None = None
    when: dict[str, tuple[Any, ...]] | None = None

    is_active = Float.is_active


@dataclass
class SearchSpace:
    """Named parameters in a fixed order."""

    parameters: dict[str, Any]

    def items(self) -> Any:
        """Name and parameter."""
        return self.parameters.items()

    def active(self, config: Any) -> dict[str, Any]:
        """The configuration without parameters whose condition does not hold."""
        kept: dict[str, Any] = {}
        for name, parameter in self.items():
            if name in config and parameter.is_active(kept):
                kept[name] = config[name]
        return kept

    def restrict(self, names: Any) -> SearchSpace:
        """Only the named parameters."""
        return SearchSpace({n: p for n, p in self.items() if n in names})'''
"""What the copied functions of `engines.levels` need of `core.space`."""


def _space(space: SearchSpace) -> str:
    return "SearchSpace({" + ", ".join(f"{literal(n)}: {_parameter(p)}" for n, p in space.items()) + "})"


def _parameter(p: Float | Int | Choice) -> str:
    rest = f"default={literal(p.default)}, priority={p.priority}, when={literal(p.when)}"
    if isinstance(p, Choice):
        return f"Choice({literal(tuple(p.choices))}, {rest})"
    return f"{type(p).__name__}({p.low!r}, {p.high!r}, log={p.log}, hard={p.hard}, {rest})"


# Optuna ---------------------------------------------------------------------------------------------------------------


def _optuna(brief: Brief, out: Search) -> None:
    out.imports |= {"import hashlib", "import optuna", "import warnings"}
    stages = [s for s in brief.stages if s.strategy in OPTUNA]
    for code in brief.spaces:
        own = [s.space for s in stages if s.space is not None and s.family == code.family]
        out.blocks.append(_suggest(code, own[0] if own else code.space))
    names = ", ".join(f"{literal(c.family)}: {_suggest_name(c.family)}" for c in brief.spaces)
    texts = {n: _texts(p) for c in brief.spaces for n, p in c.space.items() if isinstance(p, Choice) and not _is_plain(p)}
    outside = [dict(c) for code in brief.spaces for c in _tried(brief, code) if code.space.faults(code.space.active(c))]
    stage = stages[0]
    sampler, pruner = _sampler(stage), _pruner(stage)
    learns = stage.strategy in (Strategy.TPE, Strategy.HYPERBAND, Strategy.GP)
    out.blocks.append(
        f"SUGGEST = {{{names}}}\n"
        + (f"TEXTS = {texts!r}\n" if texts else "")
        + (f"OUTSIDE = {literal(outside)}  # starts that do not belong to the space\n" if outside else "")
        + f"\n\n{sampler}\n\n\n{pruner}\n\n\n{_SEED_OF}\n\n\n"
        + _ASK_AGAIN * learns
        + _ASK * (not learns)
        + "\n\n\n"
        + _OPTUNA_SEARCH.format(
            direction=literal(brief.direction),
            known='{n: v for n, v in t["config"].items() if n not in HELD.get(family, {})}'
            if any(c.held for c in brief.spaces)
            else 't["config"]',
            value="TEXTS.get(name, {}).get(repr(value), value)" if texts else "value",
            not_outside=' and t["config"] not in OUTSIDE' if outside else "",
            reported=_WILCOXON if stage.pruner.name == "wilcoxon" else _MEAN,
            first=stage.full_length_first,
            source=_SOURCE if stage.strategy is Strategy.CMAES else "",
            observe="observe" if stage.pruner.name != "none" else "None",
        )
    )


def _tried(brief: Brief, code: SpaceCode) -> list[Config]:
    return [config for family, config in brief.race if family == code.family] or list(code.starts)


def _suggest_name(family: str) -> str:
    return "suggest_" + "".join(c if c.isalnum() else "_" for c in family)


def _suggest(code: SpaceCode, space: SearchSpace) -> str:
    lines = []
    for name, p in space.items():
        drawn = _drawn(name, p)
        if p.when:
            condition = " and ".join(f"config.get({literal(parent)}) in {literal(tuple(values))}" for parent, values in p.when.items())
            lines.append(f"    if {condition}:\n        config[{literal(name)}] = {drawn}")
        else:
            lines.append(f"    config[{literal(name)}] = {drawn}")
    body = "\n".join(lines)
    return (
        f"def {_suggest_name(code.family)}(trial: optuna.Trial) -> dict[str, Any]:\n"
        f'    """The search space of {code.family}."""\n'
        f"    config: dict[str, Any] = {{}}\n{body}\n    return config"
    )


def _drawn(name: str, p: Float | Int | Choice) -> str:
    match p:
        case Float() | Int():
            kind = "float" if isinstance(p, Float) else "int"
            return f"trial.suggest_{kind}({literal(name)}, {p.low!r}, {p.high!r}{', log=True' if p.log else ''})"
        case Choice() if _is_plain(p):
            return f"trial.suggest_categorical({literal(name)}, {literal(list(p.choices))})"
        case Choice():
            texts = list(_texts(p).values())
            return f"{literal(dict(zip(texts, p.choices, strict=True)))}[trial.suggest_categorical({literal(name)}, {texts!r})]"


def _is_plain(p: Choice) -> bool:
    """True when Optuna can hold the choices as they are: it takes True for 1 and cannot store an infinity."""
    known = all(c is None or isinstance(c, bool | int | str) or (isinstance(c, float) and math.isfinite(c)) for c in p.choices)
    return known and not any(a == b for i, a in enumerate(p.choices) for b in p.choices[:i])


def _texts(p: Choice) -> dict[str, str]:
    """The written form of each choice to the text that stands for it in the study."""
    texts = [repr(c) for c in p.choices]
    return {t: t if len(set(texts)) == len(texts) else f"{i}: {t}" for i, t in enumerate(texts)}


_SAMPLERS = {
    Strategy.TPE: "TPESampler",
    Strategy.HYPERBAND: "TPESampler",
    Strategy.GP: "GPSampler",
    Strategy.CMAES: "CmaEsSampler",
    Strategy.QMC: "QMCSampler",
    Strategy.ASHA: "RandomSampler",
}


def _sampler(stage: StageCode) -> str:
    settings: dict[str, Any] = dict(stage.sampler)
    seed, extra = "seed", ""
    match stage.strategy:
        case Strategy.GP:
            settings["warn_independent_sampling"] = False
        case Strategy.CMAES:
            settings["warn_independent_sampling"] = False
            extra = ", source_trials=source or None"
        case Strategy.QMC:
            settings |= {"warn_independent_sampling": False, "warn_asynchronous_seeding": False}
            seed = "seed_of(0)"
        case _:
            pass
    given = "".join(f", {n}={literal(v)}" for n, v in settings.items())
    why = (
        "\n    # One sequence for the whole run: another seed would scramble each point differently."
        if stage.strategy is Strategy.QMC
        else ""
    )
    return (
        "def sampler(seed: int, source: Any = ()) -> optuna.samplers.BaseSampler:\n"
        f'    """A new sampler for each trial, so that a search that was interrupted goes on as it would have."""{why}\n'
        f"    return optuna.samplers.{_SAMPLERS[stage.strategy]}(seed={seed}{extra}{given})"
    )


_PRUNERS = {
    "none": "NopPruner",
    "earned": "NopPruner",
    "median": "MedianPruner",
    "wilcoxon": "WilcoxonPruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
}


def _pruner(stage: StageCode) -> str:
    given = ", ".join(f"{n}={literal(v)}" for n, v in stage.pruner_settings.items())
    return f"PRUNER = optuna.pruners.{_PRUNERS[stage.pruner.name]}({given})"


_SEED_OF = '''def seed_of(key: int, attempt: int = 0) -> int:
    """The seed of proposal `key`: the head of SHA-256 over the run's seed, the key and the drawing's number."""
    return int.from_bytes(hashlib.sha256(f"{SEED}:{key}:{attempt}".encode()).digest()[:4], "big")


def identity(config: dict[str, Any]) -> str:
    """A text that equal configurations share."""
    return repr(sorted(config.items(), key=str))'''
_ASK_AGAIN = '''def ask(study: optuna.Study, suggest: Any, key: int, seen: set[str], source: Any) -> tuple[optuna.Trial, dict[str, Any]]:
    """The next proposal; one that was evaluated before is drawn again, uniformly from the fifth attempt on."""
    for attempt in range(9):
        seed = seed_of(key, attempt)
        study.sampler = sampler(seed, source) if attempt < 4 else optuna.samplers.RandomSampler(seed=seed)
        trial = study.ask()
        config = suggest(trial)
        if attempt == 8 or identity(config) not in seen:
            break
        study.sampler = optuna.samplers.RandomSampler(seed=0)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return trial, config'''
_ASK = '''def ask(study: optuna.Study, suggest: Any, key: int, seen: set[str], source: Any) -> tuple[optuna.Trial, dict[str, Any]]:
    """The next proposal."""
    study.sampler = sampler(seed_of(key), source)
    trial = study.ask()
    return trial, suggest(trial)'''
_MEAN = "            trial.report(value, step)\n"
_WILCOXON = """            # The score of this fold alone, from the running means, to 12 digits so that equal folds stay equal.
            before, mean = last[-1]
            last.append((step, value))
            trial.report(float(f"{(step * value - before * mean) / max(1, step - before):.12g}"), step)
"""
_SOURCE = "    if len(study.trials) >= 12:\n        source = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))\n"
_OPTUNA_SEARCH = '''def search_with_optuna(stage: str, family: str, trials: int | None = None) -> None:
    """Asks and tells a study in memory that has learned from the race."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"optuna\\..*")
    warnings.filterwarnings("ignore", message=".*Sobol' sequences.*")
    suggest, source, seen, full = SUGGEST[family], (), set(), 0
    # Hyperband's brackets are a hash of the study's name and the trial's number.
    study = optuna.create_study(study_name="search", direction={direction}, sampler=optuna.samplers.RandomSampler(seed=0), pruner=PRUNER)

    def observer(trial: optuna.Trial, may_prune: bool) -> Any:
        last = [(0, 0.0)]

        def observe(step: int, value: float) -> bool:
            assert last
{reported}            # Asked even when the answer is not taken: successive halving enters the trial in its rung here.
            return trial.should_prune() and may_prune

        return observe

    def tell(trial: optuna.Trial, done: dict[str, Any]) -> None:
        study.sampler = optuna.samplers.RandomSampler(seed=0)
        states = {{"pruned": optuna.trial.TrialState.PRUNED, "failed": optuna.trial.TrialState.FAIL}}
        if done["status"] == "completed":
            study.tell(trial, done["value"])
        else:
            study.tell(trial, state=states[done["status"]])

    for t in [t for t in DONE if t["family"] == family and t["stage"] == "pilot"]:
        known = {known}
        seen.add(identity(known))
        if t["status"] == "completed"{not_outside}:
            study.enqueue_trial({{name: {value} for name, value in known.items()}})
            trial = study.ask()
            suggest(trial)
            observe = observer(trial, False)
            for step, value in t["steps"] if {observe} is not None else ():
                observe(step, value)
            tell(trial, t)
            full += 1
{source}    key = 0
    while not is_over() and (trials is None or key < trials):
        trial, config = ask(study, suggest, key, seen, source)
        seen.add(identity(config))
        observe = observer(trial, full >= {first})
        done = run_trial(stage, family, config, {observe})
        full += done["status"] == "completed"
        tell(trial, done)
        key += 1'''


def exported(strategies: Mapping[str, Strategy]) -> tuple[str, ...]:
    """Names of the stages whose strategy no script can be written for."""
    return tuple(name for name, strategy in strategies.items() if strategy not in EXPORTED)
