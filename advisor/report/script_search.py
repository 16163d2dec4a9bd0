"""The search of an exported script: the race of the starts, and each strategy with the library that executes it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from advisor.core.plan import Strategy
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.report.script_brief import Brief, SpaceCode, StageCode, TableCode, literal

OPTUNA = frozenset({Strategy.TPE, Strategy.GP, Strategy.CMAES, Strategy.QMC, Strategy.ASHA, Strategy.HYPERBAND})
SCIKIT = frozenset({Strategy.RANDOM, Strategy.PORTFOLIO, Strategy.GRID})
EXPORTED = OPTUNA | SCIKIT | {Strategy.DEFAULT, Strategy.HALVING, Strategy.PBT, Strategy.HYPERGRADIENT}
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
    options: list[str] = field(default_factory=list)
    """Arguments of the command line beside those of every script."""


def searches(brief: Brief) -> Search:
    """Race and stages of `brief`."""
    out = Search(blocks=[_race(brief)], calls=["race()"])
    if (outside := _outside(brief)) and (any(s.strategy in OPTUNA for s in brief.stages) or any(s.moves for s in brief.stages)):
        out.blocks.append(f"OUTSIDE = {literal(outside)}  # starts that do not belong to the space")
    strategies = {s.strategy for s in brief.stages}
    if any(_by_optuna(s) for s in brief.stages):
        _optuna(brief, out)
    for stage in [s for s in brief.stages if s.keras is not None]:
        _keras(brief, stage, out)
    ladders = [s.ladder for s in brief.stages if s.ladder is not None]
    if strategies & {Strategy.RANDOM, Strategy.PORTFOLIO} or any(not ladder.is_grid for ladder in ladders):
        _random(brief, out)
    if Strategy.GRID in strategies or any(ladder.is_grid for ladder in ladders):
        _grid(brief, out)
    if ladders:
        _halving(brief, out)
    if any(s.moves for s in brief.stages):
        out.blocks.insert(1, _groups(brief))
    if Strategy.HYPERGRADIENT in strategies:
        out.blocks.append(_DESCENT)
    populations = [s for s in brief.stages if s.population is not None]
    for stage in populations:
        _population(brief, stage, out)
    for stage in brief.stages:
        family = literal(stage.family) if stage.family else 'best(stages=("pilot",))["family"]'
        out.calls.append(_call(stage, family))
    if any(s.population is not None and s.population.schedule for s in populations):
        out.options.append('"--replay", action="store_true", help="train one model under the schedule that the run has learned"')
        out.calls = ["if OPTIONS.replay:", "    replay()", "else:", *(f"    {call}" for call in out.calls)]
    return out


def _by_optuna(stage: StageCode) -> bool:
    return stage.strategy in OPTUNA and stage.keras is None


def _call(stage: StageCode, family: str) -> str:
    most = "" if stage.trials is None else f", trials={stage.trials}"
    match stage.strategy:
        case Strategy.HYPERBAND if stage.keras is not None:
            return f"search_with_keras_tuner({literal(stage.name)}, {family})"
        case Strategy.GRID if stage.name == "fine":
            return f"search_fine({literal(stage.name)}, {family}{most})"
        case Strategy.GRID:
            return f"search_grid({literal(stage.name)}, {family}{most})"
        case Strategy.RANDOM | Strategy.PORTFOLIO:
            return f"search_random({literal(stage.name)}, {family}{most})"
        case Strategy.PBT:
            return f"search_population({literal(stage.name)}, {literal(stage.population.family if stage.population else None)})"
        case Strategy.HYPERGRADIENT:
            return f"search_hypergradient({literal(stage.name)}, {family})"
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


# stages that move a part of the space ---------------------------------------------------------------------------------


def _groups(brief: Brief) -> str:
    moves = {s.name: s.moves for s in brief.stages if s.moves}
    names = {c.family: tuple(c.space.parameters) for c in brief.spaces}
    defaults = {c.family: dict(c.default) for c in brief.spaces}
    outside = ' and t["config"] not in OUTSIDE' if _outside(brief) else ""
    return (
        f"MOVES: dict[str, tuple[str, ...]] = {literal(moves)}  # by stage; the rest stays at the best so far\n"
        f"SPACE_NAMES = {literal(names)}\nDEFAULTS = {literal(defaults)}\n\n\n{_BASE.format(not_outside=outside)}"
    )


def _outside(brief: Brief) -> list[Config]:
    """Starts that do not belong to the space."""
    return [dict(c) for code in brief.spaces for c in _tried(brief, code) if code.space.faults(code.space.active(c))]


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
    in_groups = any(s.moves for s in brief.stages)
    plainly = "" if n_iter is None else f"MOST_DRAWS = {n_iter}\n\n\n{_RANDOM_IN_GROUPS if in_groups else _RANDOM}"
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
    is_beside = isinstance(brief.subject, TableCode) and brief.subject.is_scored_beside
    whole = "len(DEVELOPMENT) + len(SCORING)" if is_beside else "len(DEVELOPMENT)"
    out.blocks.append(f"{settings}\n\n\n{_HALVING.format(candidates=candidates, name=name, whole=whole)}")


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
    whole, powers = {whole}, math.floor(math.log(len(candidates), FACTOR))
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
_RANDOM_IN_GROUPS = '''def search_random(stage: str, family: str, trials: int | None = None) -> None:
    """The candidates of RandomizedSearchCV, which draws them with ParameterSampler, for what moves in the stage."""
    names, base = MOVES.get(stage) or SPACE_NAMES[family], base_of(stage, family)
    draws = ParameterSampler({n: d for n, d in DISTRIBUTIONS[family].items() if n in names}, MOST_DRAWS, random_state=SEED)
    for number, drawn in enumerate(draws):
        if is_over() or (trials is not None and number >= trials):
            return
        run_trial(stage, family, base | {n: v.item() if hasattr(v, "item") else v for n, v in drawn.items()})'''
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


# Ray ------------------------------------------------------------------------------------------------------------------


def _population(brief: Brief, stage: StageCode, out: Search) -> None:
    code = stage.population
    assert code is not None
    out.imports |= {"import math", "import pickle", "import tempfile", "import ray", "from ray import tune"}
    out.imports |= {"from ray.tune.schedulers import PopulationBasedTraining", "from ray.tune.search import BasicVariantGenerator"}
    draws = "".join(f"    {literal(n)}: {_ray_draw(p)},\n" for n, p in code.space.items())
    bounds = {n: (p.low, p.high) for n, p in code.space.items() if not isinstance(p, Choice)}
    lists = {n: list(p.choices) for n, p in code.space.items() if isinstance(p, Choice) and n in code.mutable}
    conditions = {n: dict(p.when) for n, p in code.space.items() if p.when}
    mutations = "".join(f"    {literal(n)}: {literal(lists[n]) if n in lists else f'DRAWS[{literal(n)}]'},\n" for n in code.mutable)
    settings = (
        f"MEMBERS = {code.members}\nSLOTS = {code.slots}  # members that train side by side\n"
        f"LAST_STEP = {code.steps}  # of a full training\n"
        f"INTERVAL = {code.interval}  # steps between two perturbations\n"
        f"FIRST_MEMBERS: list[dict[str, Any]] = {literal([dict(c) for c in code.starts[: code.members]])}\n"
        f"DRAWS = {{\n{draws}}}\n"
        f"MUTATIONS = {{  # what may change while a member trains\n{mutations}}}\n"
        f"BOUNDS = {literal(bounds)}"
    )
    if code.schedule:
        rows = "".join(f"    ({step}, {literal(config)}),\n" for step, config in code.schedule)
        settings += f"\nSCHEDULE = [  # of the run's best member: from after which step on, and what\n{rows}]"
    is_table = not hasattr(brief.subject, "kind")
    blocks = [settings]
    if conditions:
        blocks.append(f"CONDITIONS = {literal(conditions)}\n\n\n{_ACTIVE}")
    where = f"address={literal(code.cluster)}" if code.cluster else "num_cpus=SLOTS, include_dashboard=False"
    blocks.append(
        _POPULATION.replace("{active}", "active(rest)" if conditions else "rest")
        .replace("{where}", where)
        .replace("{cpus}", "1" if code.cluster is None else str(brief.threads))
        .replace("{quantile}", repr(code.quantile))
        .replace("{resample}", repr(code.resample))
        .replace("{factors}", repr(tuple(code.factors)))
        .replace("{status}", "member" if is_table else "completed")
        + (_VERIFY if is_table else "")
    )
    if code.schedule:
        blocks.append(_REPLAY.replace("{family}", literal(code.family)))
    out.blocks.append("\n\n\n".join(blocks))


def _ray_draw(p: Float | Int | Choice) -> str:
    match p:
        case Choice():
            return f"tune.choice({literal(list(p.choices))})"
        case Float() | Int() if p.low == p.high:
            return f"tune.choice([{p.low!r}])"
        case Float():
            return f"tune.{'log' if p.log else ''}uniform({p.low!r}, {p.high!r})"
        case Int():
            return f"tune.{'lograndint' if p.log else 'randint'}({p.low}, {p.high + 1})"


_ACTIVE = '''def active(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what has no meaning in it."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        if all(parent in kept and kept[parent] in values for parent, values in CONDITIONS.get(name, {}).items()):
            kept[name] = value
    return kept'''
_POPULATION = '''def member(config: dict[str, Any]) -> None:
    """One member: reports every step with its checkpoint, and goes on from whatever checkpoint Ray gives it."""
    rest = {name: config[name] for name in DRAWS if name in config}
    now, done, schedule, checkpoint = {active}, 0, [], None
    given = tune.get_checkpoint()
    if given is not None:  # its own, or that of a stronger member whose weights it takes over
        with given.as_directory() as folder, open(os.path.join(folder, "state.pkl"), "rb") as file:
            done, schedule, checkpoint = pickle.load(file)
    if not schedule or schedule[-1][1] != now:
        schedule = [*(entry for entry in schedule if entry[0] < done), (done, now)]
    for step, value, state in training(config["family"], now, checkpoint):
        # A member that diverged is the worst, so that it is the next to be replaced: NaN would never be.
        value = value if math.isfinite(value) else -SIGN * 1e300
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "state.pkl"), "wb") as file:
                pickle.dump((step, schedule, state() if callable(state) else state), file)
            report = {"value": value, "step": step, "schedule": schedule}
            tune.report(report, checkpoint=tune.Checkpoint.from_directory(folder))


def within(config: dict[str, Any]) -> dict[str, Any]:
    """Brings a perturbed configuration back within its bounds: Ray's factors know none."""
    for name, (low, high) in BOUNDS.items():
        if name in config:
            config[name] = min(max(config[name], low), high)
    return config


def search_population(stage: str, family: str) -> None:
    """Ray Tune's population-based training: weak members take over the weights of strong ones, and change."""
    left = OPTIONS.seconds - min(KEPT_SECONDS, 0.5 * OPTIONS.seconds) - (time.monotonic() - BEGAN)
    if left <= 0:
        return
    for variable in ("RAY_USAGE_STATS_ENABLED", "RAY_CHDIR_TO_TRIAL_DIR"):
        os.environ[variable] = "0"
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    ray.init({where}, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as storage:
        scheduler = PopulationBasedTraining(
            time_attr="step",
            perturbation_interval=INTERVAL,
            burn_in_period=0,
            hyperparam_mutations=dict(MUTATIONS),
            quantile_fraction={quantile},
            resample_probability={resample},
            perturbation_factors={factors},
            custom_explore_fn=within,
            log_config=False,
        )
        tuner = tune.Tuner(
            tune.with_resources(member, {"cpu": {cpus}}),
            param_space={"family": family, **DRAWS},
            tune_config=tune.TuneConfig(
                metric="value",
                mode="max" if SIGN > 0 else "min",
                scheduler=scheduler,
                # Members differ from the start: equal ones would have nothing to take over.
                search_alg=BasicVariantGenerator(points_to_evaluate=[dict(c) for c in FIRST_MEMBERS] or None, random_state=SEED),
                num_samples=MEMBERS,
                time_budget_s=left,
                reuse_actors=True,  # a new process at every turn would take longer than the training
            ),
            run_config=tune.RunConfig(storage_path=storage, stop={"step": LAST_STEP}, verbose=0),
        )
        ended = [r for r in tuner.fit() if r.metrics and "value" in r.metrics]
    ray.shutdown()
    for result in ended:
        last = result.metrics
        trial: dict[str, Any] = dict(number=len(DONE), stage=stage, family=family, config=last["schedule"][-1][1])
        trial |= {"status": "failed" if result.error else "{status}", "value": last["value"], "steps": [(last["step"], last["value"])]}
        DONE.append(trial | {"schedule": last["schedule"]})
        print(f"{trial['number']:>4}  {trial['status']:<9}  {trial['value']}  {last['schedule']}", flush=True)
        if OPTIONS.log:
            with open(OPTIONS.log, "a") as file:
                file.write(json.dumps(DONE[-1], default=str) + "\\n")'''
_VERIFY = """
    # The best member as one configuration: what it was trained under is a course that one network can follow from the start.
    furthest = max((r.metrics["step"] for r in ended), default=0)
    fair = [r.metrics for r in ended if r.metrics["step"] > furthest - INTERVAL and not r.error]
    if fair:
        (_, first), *rest = max(fair, key=lambda m: SIGN * m["value"])["schedule"]
        run_trial("verify", family, {**first, "course": rest} if rest else first)"""
_REPLAY = '''def replay() -> None:
    """Trains one model from the start under the schedule that the run has learned."""
    (_, first), *rest = SCHEDULE
    run_trial("replay", {family}, {**first, "course": [list(entry) for entry in rest]} if rest else first)'''


# KerasTuner -----------------------------------------------------------------------------------------------------------


def _keras(brief: Brief, stage: StageCode, out: Search) -> None:
    assert stage.keras is not None
    out.imports |= {"import keras", "import keras_tuner", "import tempfile"}
    (code,) = brief.spaces
    lines = []
    for name, p in code.space.items():
        drawn = f"    config[{literal(name)}] = {_keras_drawn(name, p)}"
        for level, (parent, values) in enumerate((p.when or {}).items()):
            above = code.space.parameters[parent]
            allowed = [i for i, c in enumerate(above.choices) if c in values] if isinstance(above, Choice) else list(values)
            lines.append(f"{'    ' * (level + 1)}with hp.conditional_scope({literal(parent)}, {literal(allowed)}):")
        depth = len(p.when or {})
        if depth:
            lines.append(f"{'    ' * (depth + 1)}value = {_keras_drawn(name, p)}")
            condition = " and ".join(
                f"config.get({literal(parent)}) in {literal(tuple(values))}" for parent, values in (p.when or {}).items()
            )
            lines.append(f"    if {condition}:\n        config[{literal(name)}] = value")
        else:
            lines.append(drawn)
    body = "\n".join(lines)
    out.blocks.append(
        f"def asked(hp: keras_tuner.HyperParameters) -> dict[str, Any]:\n"
        f'    """The search space in KerasTuner\'s words; a choice is drawn by its place."""\n'
        f"    config: dict[str, Any] = {{}}\n{body}\n    return config\n\n\n"
        + _KERAS.replace("{epochs}", str(stage.keras.epochs))
        .replace("{factor}", str(stage.keras.factor))
        .replace("{seed}", str(stage.keras.seed))
    )


def _keras_drawn(name: str, p: Float | Int | Choice) -> str:
    match p:
        case Choice():
            return f"{literal(list(p.choices))}[hp.Choice({literal(name)}, {list(range(len(p.choices)))}, ordered=False)]"
        case Float() | Int():
            kind = "Float" if isinstance(p, Float) else "Int"
            return f"hp.{kind}({literal(name)}, {p.low!r}, {p.high!r}, sampling={literal('log' if p.log else 'linear')})"


_KERAS = '''class Hyperband(keras_tuner.Hyperband):
    """KerasTuner's, which says what has ended and stops with the time."""

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        status = "completed" if trial.hyperparameters.values["tuner/epochs"] >= {epochs} else "pruned"
        noted: dict[str, Any] = dict(number=len(DONE), stage=self.stage, family=self.project_name, value=trial.score)
        noted |= {"config": self.configs.get(trial.trial_id), "status": status if trial.score is not None else "failed"}
        DONE.append(noted | {"steps": [(trial.hyperparameters.values["tuner/epochs"], trial.score)]})
        print(f"{noted['number']:>4}  {noted['status']:<9}  {noted['value']}  {noted['config']}", flush=True)
        if OPTIONS.log:
            with open(OPTIONS.log, "a") as file:
                file.write(json.dumps(DONE[-1], default=str) + "\\n")
        if is_over():
            raise TimeoutError

    def run_trial(self, trial: Any, *rest: Any, **named: Any) -> Any:
        self.configs[trial.trial_id] = asked(trial.hyperparameters)
        return super().run_trial(trial, *rest, **named)


def search_with_keras_tuner(stage: str, family: str) -> None:
    """Rounds of few epochs for many configurations and of many for the best, on the same rows as the race."""
    train, held = objective._split()
    keras.utils.set_random_seed(SEED)

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        config = asked(hp)
        return objective.build(hp) if objective.takes_hyperparameters else objective.build(config)

    Hyperband.configs, Hyperband.stage = {}, stage
    with tempfile.TemporaryDirectory() as folder:
        tuner = Hyperband(
            build,
            objective=keras_tuner.Objective(objective.metric, "max" if SIGN > 0 else "min"),
            max_epochs={epochs},
            factor={factor},
            hyperband_iterations=10**6,  # the time decides
            seed={seed},
            directory=folder,
            project_name=family,
            max_consecutive_failed_trials=10**6,
        )
        try:
            tuner.search(
                train.x,
                train.y,
                sample_weight=train.weight,
                batch_size=objective.batch_size,
                validation_data=tuple(held if held.weight is not None else held[:2]),
                verbose=0,
            )
        except TimeoutError:
            pass'''


# PyTorch --------------------------------------------------------------------------------------------------------------


def differentiable(brief: Brief) -> str:
    """The inner training as code, with its hyperparameters as coordinates from 0 to 1."""
    (code,) = brief.spaces
    moving = {n: (p.low, p.high, p.log) for n, p in code.space.items() if isinstance(p, Float)}
    rows = "".join(f"    {literal(n)}: {literal(entry)},\n" for n, entry in moving.items())
    constants = {n: float(v) for n, v in code.held.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return (
        f"torch.set_num_threads({brief.threads})\n"
        f"MOVING = {{  # low, high, and whether on a logarithm\n{rows}}}\nCONSTANTS: dict[str, float] = {literal(constants)}\n"
        f"DEFAULT: dict[str, float] = {literal({n: code.default[n] for n in moving if code.default.get(n) is not None})}\n{_INNER}"
    )


_INNER = '''START = dict(pair.start(SEED) if callable(pair.start) else pair.start)
FLAT = torch.cat([tensor.detach().reshape(-1) for tensor in START.values()])
RULE = Rule("sgd" if pair.optimiser == "sgd" else "adam", pair.momentum)
LOW, HIGH = (torch.tensor([entry[i] for entry in MOVING.values()], dtype=torch.float64) for i in (0, 1))
LOG = torch.tensor([entry[2] for entry in MOVING.values()])
if callable(pair.learning_rate) or pair.learning_rate in MOVING:
    raise SystemExit("the learning rate is tuned: its gradient is not the optimum's, which is all that this script knows")


def named(flat: Any) -> dict[str, Any]:
    """The parameters by name, as views of the one vector."""
    parts = torch.split(flat, [tensor.numel() for tensor in START.values()])
    return {name: part.view(START[name].shape) for name, part in zip(START, parts)}


def coordinates(config: dict[str, float]) -> Any:
    """Where the hyperparameters stand in their ranges, from 0 to 1; what has no value stands in the middle."""
    found = []
    for name, (low, high, is_log) in MOVING.items():
        value = config.get(name)
        if value is None:
            found.append(0.5)
        else:
            found.append(math.log(value / low) / math.log(high / low) if is_log else (value - low) / (high - low))
    return torch.tensor(found, dtype=torch.float64).clamp(0.0, 1.0)


def values(z: Any) -> dict[str, Any]:
    """The hyperparameters at `z`, differentiable by it."""
    positive = torch.where(LOG, LOW, 1.0)
    scaled = torch.where(LOG, positive * torch.exp(z * torch.log(torch.where(LOG, HIGH, 1.0) / positive)), LOW + z * (HIGH - LOW))
    constants = {name: torch.tensor(value, dtype=FLAT.dtype) for name, value in CONSTANTS.items()}
    return constants | dict(zip(MOVING, scaled.clamp(LOW, HIGH).to(FLAT.dtype).unbind()))


def train_loss(flat: Any, z: Any, step: int) -> Any:
    """The training loss of step `step`."""
    given = (named(flat), values(z))
    return pair.train_loss(*given) if pair.batches is None else pair.train_loss(*given, pair.batches(step))


def second_loss(flat: Any) -> float:
    """The validation loss whose gradient nobody follows: it stops and it chooses."""
    with torch.no_grad():
        return float(pair.second_validation_loss(named(flat)))


def advanced(flat: Any, state: Any, step: int, z: Any, steps: int) -> tuple[Any, Any]:
    """Parameters and state of the optimiser after `steps` further steps of training."""
    if pair.optimiser == "lbfgs":
        leaf = flat.clone().requires_grad_()
        optimiser = torch.optim.LBFGS([leaf], max_iter=steps, max_eval=2 * steps, history_size=20, line_search_fn="strong_wolfe")

        def closure() -> Any:
            optimiser.zero_grad()
            loss = train_loss(leaf, z, step)
            loss.backward()
            return loss

        optimiser.step(closure)
        return leaf.detach().clone(), state
    for number in range(step, step + steps):
        direction, state = RULE.direction(grad(train_loss)(flat, z, number), state, number)
        flat = flat - (pair.learning_rate if not isinstance(pair.learning_rate, str) else CONSTANTS[pair.learning_rate]) * direction
    return flat, state


def measure(family: str, config: dict[str, Any]) -> Any:
    """One step: the second validation loss after a full training."""
    torch.manual_seed(SEED)
    flat, _ = advanced(FLAT.clone(), RULE.start(FLAT), 0, coordinates(config), pair.steps)
    yield pair.steps, second_loss(flat), ()'''
_DESCENT = '''OUTER_STEPS, OUTER_RATE, PATIENCE = 200, 0.03, 15
HESSIAN_BATCHES = 8  # averaged where the training has batches


def hypergradient(flat: Any, z: Any, step: int) -> Any:
    """The gradient of the validation loss by the hyperparameters, through the optimum of the training."""
    count = 1 if pair.batches is None else HESSIAN_BATCHES

    def train(w: Any, at: Any) -> Any:
        return torch.stack([train_loss(w, at, step + i) for i in range(count)]).mean()

    return implicit_hypergradient(train, lambda w: pair.validation_loss(named(w)), flat, z, solve=conjugate_gradient)


def search_hypergradient(stage: str, family: str) -> None:
    """Adam on the hyperparameters while one training goes on; where the second validation loss was lowest is trained in full."""
    torch.manual_seed(SEED)
    began, z = time.monotonic(), coordinates(DEFAULT)
    flat, state = advanced(FLAT.clone(), RULE.start(FLAT), 0, z, pair.steps)
    kept = 1.3 * (time.monotonic() - began)  # to train in full what is found
    rule, step, inner, rate = Rule("adam", second=0.99), pair.steps, min(pair.steps, max(10, pair.steps // 10)), OUTER_RATE
    memory, moves, halvings, waited = rule.start(z), 0, 0, 0
    best, lowest, gradient = z, second_loss(flat), hypergradient(flat, z, step)
    for outer in range(1, OUTER_STEPS + 1):
        if time.monotonic() - BEGAN + kept >= OPTIONS.seconds - min(KEPT_SECONDS, 0.5 * OPTIONS.seconds) or waited >= PATIENCE:
            break
        direction, memory = rule.direction(gradient, memory, moves)
        moved = (z - rate * direction).clamp(0.0, 1.0)
        if float((moved - z).abs().max()) < 1e-5:
            break  # the hyperparameters no longer move
        ahead, ahead_state = advanced(flat, state, step, moved, inner)
        loss, found = second_loss(ahead), hypergradient(ahead, moved, step + inner)
        if not (math.isfinite(loss) and bool(torch.isfinite(ahead).all()) and bool(torch.isfinite(found).all())):
            rate, halvings, memory, moves = rate / 2, halvings + 1, rule.start(z), 0  # taken back; half as far from now on
            if halvings > 4:
                break
            continue
        flat, state, z, gradient, step, moves = ahead, ahead_state, moved, found, step + inner, moves + 1
        print(f"      outer step {outer}: second validation loss {loss}", flush=True)
        if loss < lowest - 1e-4 * abs(lowest):
            best, lowest, waited = z, loss, 0
        else:
            waited += 1
    run_trial(stage, family, {name: float(value) for name, value in values(best).items() if name in MOVING})'''


# Optuna ---------------------------------------------------------------------------------------------------------------


def _optuna(brief: Brief, out: Search) -> None:
    out.imports |= {"import hashlib", "import optuna", "import warnings"}
    stages = [s for s in brief.stages if _by_optuna(s)]
    in_groups = any(s.moves for s in stages)
    for code in brief.spaces:
        own = [s.space for s in stages if s.space is not None and s.family == code.family and not s.moves]
        out.blocks.append(_suggest(code, own[0] if own else code.space, in_groups=in_groups))
    names = ", ".join(f"{literal(c.family)}: {_suggest_name(c.family)}" for c in brief.spaces)
    texts = {n: _texts(p) for c in brief.spaces for n, p in c.space.items() if isinstance(p, Choice) and not _is_plain(p)}
    outside = _outside(brief)
    stage = stages[0]
    sampler, pruner = _sampler(stage), _pruner(stage)
    learns = stage.strategy in (Strategy.TPE, Strategy.HYPERBAND, Strategy.GP)
    out.blocks.append(
        f"SUGGEST = {{{names}}}\n"
        + (f"TEXTS = {texts!r}\n" if texts else "")
        + f"\n\n{sampler}\n\n\n{pruner}\n\n\n{_SEED_OF}\n\n\n"
        + _ASK_AGAIN * learns
        + _ASK * (not learns)
        + "\n\n\n"
        + _OPTUNA_SEARCH.format(
            direction=literal(brief.direction),
            known=_known(brief, in_groups),
            begins=_GROUP_BEGINS if in_groups else "",
            earlier=_EARLIER if in_groups else 't["stage"] == "pilot"',
            names=", names" if in_groups else "",
            asked="" if not in_groups else "_moved",
            moved="{**base, **config}" if in_groups else "config",
            value="TEXTS.get(name, {}).get(repr(value), value)" if texts else "value",
            not_outside=' and t["config"] not in OUTSIDE' if outside else "",
            reported=_WILCOXON if stage.pruner.name == "wilcoxon" else _MEAN,
            first=stage.full_length_first,
            source=_SOURCE if stage.strategy is Strategy.CMAES else "",
            observe="observe" if stage.pruner.name != "none" else "None",
        )
    )


def _known(brief: Brief, in_groups: bool) -> str:
    """An expression: what the study knows of the configuration of an earlier trial."""
    if in_groups:
        return '{n: t["config"][n] for n in names if n in t["config"]}'
    return '{n: v for n, v in t["config"].items() if n not in HELD.get(family, {})}' if any(c.held for c in brief.spaces) else 't["config"]'


def _tried(brief: Brief, code: SpaceCode) -> list[Config]:
    return [config for family, config in brief.race if family == code.family] or list(code.starts)


def _suggest_name(family: str) -> str:
    return "suggest_" + "".join(c if c.isalnum() else "_" for c in family)


def _suggest(code: SpaceCode, space: SearchSpace, *, in_groups: bool) -> str:
    lines = []
    for name, p in space.items():
        drawn = _drawn(name, p)
        if in_groups:
            lines.append(f"    if {literal(name)} in names:\n        config[{literal(name)}] = {drawn}")
        elif p.when:
            condition = " and ".join(f"config.get({literal(parent)}) in {literal(tuple(values))}" for parent, values in p.when.items())
            lines.append(f"    if {condition}:\n        config[{literal(name)}] = {drawn}")
        else:
            lines.append(f"    config[{literal(name)}] = {drawn}")
    body = "\n".join(lines)
    return (
        f"def {_suggest_name(code.family)}(trial: optuna.Trial{', names: tuple[str, ...]' if in_groups else ''}) -> dict[str, Any]:\n"
        f'    """The search space of {code.family}{", as far as it moves" if in_groups else ""}."""\n'
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
_GROUP_BEGINS = """    names = MOVES.get(stage) or tuple(SPACE_NAMES[family])
    base = base_of(stage, family)
    still = {n: v for n, v in base.items() if n not in names}

    def suggest_moved(trial: optuna.Trial) -> dict[str, Any]:
        return suggest(trial, names)

"""
_EARLIER = '(t["stage"] == "pilot" or (t["stage"] != stage and all(t["config"].get(n) == v for n, v in still.items())))'
_BASE = '''def base_of(stage: str, family: str) -> dict[str, Any]:
    """What a stage leaves as it is: the best configuration of the stages before it, else the default."""
    before = [t for t in DONE if t["status"] == "completed" and t["family"] == family and t["stage"] != stage{not_outside}]
    found = max(before, key=lambda t: (SIGN * t["value"], -t["number"]), default={{"config": {{}}}})
    return {{**DEFAULTS[family], **found["config"]}}'''
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

{begins}    for t in [t for t in DONE if t["family"] == family and {earlier}]:
        known = {known}
        seen.add(identity(known))
        if t["status"] == "completed"{not_outside}:
            study.enqueue_trial({{name: {value} for name, value in known.items()}})
            trial = study.ask()
            suggest(trial{names})
            observe = observer(trial, False)
            for step, value in t["steps"] if {observe} is not None else ():
                observe(step, value)
            tell(trial, t)
            full += 1
{source}    key = 0
    while not is_over() and (trials is None or key < trials):
        trial, config = ask(study, suggest{asked}, key, seen, source)
        seen.add(identity(config))
        observe = observer(trial, full >= {first})
        done = run_trial(stage, family, {moved}, {observe})
        full += done["status"] == "completed"
        tell(trial, done)
        key += 1'''


def exported(strategies: Mapping[str, Strategy]) -> tuple[str, ...]:
    """Names of the stages whose strategy no script can be written for."""
    return tuple(name for name, strategy in strategies.items() if strategy not in EXPORTED)
