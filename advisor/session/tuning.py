"""`tune`: the walk of a run whose objective is the user's own."""

from __future__ import annotations

import inspect
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from advisor.core.errors import CannotRunError, InputError, InterruptedRunError, NothingFinishedError
from advisor.core.events import EngineStarted, RunFinished, RunStarted
from advisor.core.facts import Facts
from advisor.core.objective import Fidelity, Kind, OwnObjective, call_fault, checkpoint_style
from advisor.core.outcome import Outcome
from advisor.core.own import FAMILY
from advisor.core.plan import Plan
from advisor.core.space import Choice, Config, Float, Group, Int, SearchSpace
from advisor.core.value import first_fault
from advisor.session.ending import close
from advisor.session.exporting import offer_script
from advisor.session.folder import Request, RunFolder
from advisor.session.gathering import engines_here, read_answers
from advisor.session.outcomes import outcome_of
from advisor.session.planning import load_plan, recommend, save_plan
from advisor.session.recording import MemoryJournal, Recorder
from advisor.session.running import THREAD_VARIABLES, export_study_in_time, memory_cap, versions
from advisor.session.searching import pilot, search
from advisor.session.tracking import tracked
from advisor.session.walking import SHUTDOWN_SECONDS, Walk

Isolation = Literal["process", "inline"]
Space = SearchSpace | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""Our own parameters, or scikit-learn's, scipy's and Optuna's distributions by name; None: the objective tells it (Optuna)."""


def tune(
    objective: Callable[..., Any],
    space: Space = None,
    *,
    direction: Literal["minimize", "maximize"] = "minimize",
    fidelity: Fidelity | None = None,
    budget_seconds: float = 600.0,
    max_trials: int | None = None,
    workers: int = 1,
    seed: int = 0,
    run_dir: str | Path | None = None,
    goal: str = "best",
    strategy: str = "auto",
    starts: Sequence[Config] = (),
    isolation: Isolation = "process",
    clock: Callable[[], float] = time.monotonic,
    cluster: str | None = None,
    freeze: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Outcome:
    """The outcome of tuning `objective` over `space` within `budget_seconds` and `max_trials`.

    `objective(config)` gives a number; with a `fidelity` it is a generator, ``objective(config, checkpoint=None)``, that
    yields a `Measurement` after each unit of resource. With ``space=None`` it is Optuna's, ``objective(trial)``.

    With ``isolation="process"`` trials run in worker processes and the run lives in `run_dir` (a new folder below ``runs``
    when none is named): it survives a kill, and the same call with the same `run_dir` goes on with it. With ``"inline"``
    trials run in the calling process one at a time, a trial cannot be cut short, and without a `run_dir` nothing is written.
    `clock` is any callable that gives seconds; another than `time.monotonic` implies ``"inline"``.

    Raises: InputError for a wrong argument, before the first trial; CannotRunError when the strategy asked for cannot run here,
    or no configuration can be evaluated; NothingFinishedError when the budget ended before any trial had.

    >>> found = tune(lambda config: (config["x"] - 2) ** 2, {"x": Float(0, 10)}, max_trials=20, isolation="inline")
    >>> abs(found.best_config["x"] - 2) < 1
    True
    """
    _check_kinds(clock=clock, freeze=freeze, run_dir=run_dir)
    began = clock()
    if not isinstance(began, int | float) or not math.isfinite(began):
        raise InputError(f"the clock gives {began!r}, no seconds", where="clock", cure="Give a function of seconds, or leave it out.")
    is_inline = isolation == "inline" or clock is not time.monotonic
    if isolation not in ("process", "inline"):
        raise InputError(f"unknown isolation {isolation!r}", where="isolation", cure='Use "process" or "inline".')
    brought, own = describe(objective, space, direction=direction, fidelity=fidelity, starts=starts)
    answers = read_answers(
        goal=goal,
        budget_seconds=budget_seconds,
        trials=max_trials,
        workers=workers,
        seed=seed,
        strategy=strategy,
        cluster=cluster,
        freeze=dict(freeze) if freeze else None,
        force=force,
    )
    if is_inline and answers.workers not in (None, 1):
        raise InputError(
            f"{workers} workers cannot run inline", where="workers", cure='Use workers=1, or isolation="process" with the real clock.'
        )
    from advisor.probes.hardware import probe_hardware

    hardware = probe_hardware(runs=Path("runs"), cluster=cluster)
    facts = Facts(hardware=hardware, objective=own, answers=answers, engines=engines_here(own))
    from advisor.session.launching import check_cluster

    check_cluster(facts)
    with ExitStack() as stack:
        if is_inline and run_dir is None:
            folder = RunFolder(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="advisor-"))))
            folder.work.mkdir()
            opened = stack.enter_context(_in_memory(began, clock))
        else:
            folder = _folder(run_dir, own, facts)
            opened = stack.enter_context(on_disk(folder, began, clock))
        return _conduct(brought, facts, folder, opened, is_inline=is_inline, clock=clock)


def _check_kinds(*, clock: Any, freeze: Any, run_dir: Any) -> None:
    """Raises: InputError when an argument is of a kind that nothing can be done with."""
    if not callable(clock):
        raise InputError(
            f"the clock is {clock!r}, which cannot be called", where="clock", cure="Give a function of seconds, or leave it out."
        )
    if freeze is not None and not isinstance(freeze, Mapping):
        raise InputError(f"freeze is a {type(freeze).__name__}", where="freeze", cure='Give a mapping, such as {"momentum": 0.9}.')
    if run_dir is not None and "\0" in str(run_dir):
        raise InputError("the name of the run's folder holds a NUL character", where="run_dir", cure="Name another run_dir.")


def run_own(run_dir: Path, *, began: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Carries out the run in `run_dir`, whose objective a command line named, from the start or from where it ended.

    Raises: what `tune` raises; RunBusyError when another engine holds the run.
    """
    from advisor.session.owning import bring

    folder = RunFolder(run_dir)
    facts, request = folder.read_facts(), folder.read_request()
    objective, _ = bring(facts.answers, folder=request.working_folder or ".")
    with on_disk(folder, began, clock) as opened:
        _conduct(objective, facts, folder, opened, is_inline=False, clock=clock, request=request)


@dataclass(frozen=True)
class _Opened:
    """Where the events of this life go, and what asks it to end."""

    recorder: Recorder
    is_interrupted: Callable[[], bool]
    is_kept: bool
    """True when the run has a folder."""


@contextmanager
def _in_memory(began: float, clock: Callable[[], float]) -> Iterator[_Opened]:
    yield _Opened(Recorder(MemoryJournal(), [], began=began, clock=clock), lambda: False, is_kept=False)


@contextmanager
def on_disk(folder: RunFolder, began: float, clock: Callable[[], float]) -> Iterator[_Opened]:
    from advisor.journal import Journal, read_events
    from advisor.supervise.launch import StopSignals
    from advisor.supervise.lock import RunLock

    with RunLock(folder.path), StopSignals() as signals, Journal.open(folder.journal, is_abandoned=signals) as journal:
        events = [event for _, event in read_events(folder.journal)]
        yield _Opened(Recorder(journal, events, began=began, clock=clock), signals, is_kept=True)


def _conduct(
    objective: Callable[..., Any],
    facts: Facts,
    folder: RunFolder,
    opened: _Opened,
    *,
    is_inline: bool,
    clock: Callable[[], float],
    request: Request | None = None,
) -> Outcome:
    """Carries the run out, from the start or from where an earlier life ended."""
    from advisor.supervise.commands import CommandBox
    from advisor.supervise.identity import process_identity
    from advisor.supervise.pool import InlinePool, WorkerPool
    from advisor.supervise.resumption import interrupted

    recorder = opened.recorder
    if recorder.state.plan is not None:
        plan = Plan.from_mapping(recorder.state.plan)
    else:
        plan = load_plan(folder.plan)[0] if folder.plan.exists() else recommend(facts)
        command = request.command if request is not None else ""
        recorder.emit(RunStarted(run=folder.path.name, plan=plan.to_mapping(), versions=versions(), command=command))
        if opened.is_kept and not folder.plan.exists():
            save_plan(plan, folder.plan, facts=facts)
    identity = process_identity() if opened.is_kept else None
    if identity is not None:
        recorder.emit(EngineStarted(pid=identity.pid, started_at_ticks=identity.started_at_ticks, boot_id=identity.boot_id))
    for event in interrupted(recorder.state):
        recorder.emit(event)
    pool: InlinePool | WorkerPool
    if is_inline:
        pool = InlinePool(clock=clock)
    else:
        threads = str(plan.envelope.threads_per_worker)
        pool = WorkerPool(
            size=plan.envelope.workers,
            environment=dict.fromkeys(THREAD_VARIABLES, threads),
            memory_bytes=memory_cap(plan, facts),
            log_folder=folder.logs,
        )
    with tracked(recorder, folder), pool:
        keep_in = getattr(objective, "keep_in", None)
        if callable(keep_in):  # a command's checkpoints live as long as the run does
            keep_in(folder.work / "command")
        pool.register(f"search/{FAMILY}", objective)
        walk = Walk(
            folder=folder,
            facts=facts,
            first=Plan.from_mapping(recorder.state.first_plan) if recorder.state.first_plan else plan,
            plan=plan,
            follows_facts=request is None or request.follows_facts,
            recorder=recorder,
            pool=pool,
            commands=CommandBox(folder.path if opened.is_kept else None),
            is_interrupted=opened.is_interrupted,
            keeps_models=opened.is_kept,
            brought=objective,
            shutdown_seconds=0.0 if is_inline else SHUTDOWN_SECONDS,
        )
        try:
            if isinstance(pool, WorkerPool):
                pool.load(f"search/{FAMILY}", is_over=lambda: walk.remaining() <= 0 or walk.is_interrupted())
            _walk(walk)
            if opened.is_kept:
                offer_script(walk)
            status: Literal["done", "stopped"] = "stopped" if walk.has_stopped else "done"
            _end(walk, RunFinished(status=status), is_kept=opened.is_kept)
        except NothingFinishedError as error:
            _end(walk, RunFinished(status="nothing_finished", reason=str(error)), is_kept=opened.is_kept)
            raise
        except (CannotRunError, InputError) as error:
            _end(walk, RunFinished(status="failed", reason=str(error)), is_kept=opened.is_kept)
            raise
    return outcome_of(str(folder.path) if opened.is_kept else "", recorder.state)


def _walk(walk: Walk) -> None:
    for part in (pilot, search):
        part(walk)
    if walk.was_interrupted:
        raise InterruptedRunError(
            "interrupted; every finished trial is kept",
            where=walk.folder.path.name,
            cure="Call it again with the same run_dir to go on, or `advisor resume` it.",
        )
    if walk.recorder.state.best is None:
        seconds = walk.plan.budget.seconds
        raise NothingFinishedError(
            f"the budget of {seconds:g} s ended before any trial finished",
            where="budget_seconds",
            cure=f"Give it {max(3 * seconds, 10.0):g} s, or see whether the objective hangs.",
        )


def _end(walk: Walk, event: RunFinished, *, is_kept: bool) -> None:
    if not is_kept:
        walk.recorder.emit(event)
        return
    if any(walk.recorder.state.counts().values()):  # an empty study is none
        export_study_in_time(walk)
    close(walk.recorder, walk.folder, event, slow=walk.slow)


# ------------------------------------------------------------------------------------------------ what was brought


def describe(
    objective: Callable[..., Any],
    space: Space,
    *,
    direction: Literal["minimize", "maximize"] = "minimize",
    fidelity: Fidelity | None = None,
    starts: Sequence[Config] = (),
) -> tuple[Callable[..., Any], OwnObjective]:
    """`objective` as a run pulls it, and what the rules may know of it.

    Raises: InputError when it cannot be called, or space, direction, fidelity or starts are not what they must be.
    """
    given = objective
    if hasattr(objective, "second_validation_loss"):  # a pair of differentiable losses is called by nobody
        from advisor.objectives.trained import TrainedInFull

        objective = TrainedInFull(objective)  # type: ignore[arg-type]
        fidelity = None
    if not callable(objective):
        raise InputError(
            f"an objective of type {type(objective).__name__} cannot be called",
            where="objective",
            cure="Give a function of a configuration.",
        )
    fault = None if hasattr(objective, "kind") or (space is None and not hasattr(objective, "space")) else call_fault(objective)
    if fault is not None:
        raise InputError(f"the objective {name_of(given)} {fault[0]}", where="objective", cure=fault[1])
    if direction not in ("minimize", "maximize"):
        raise InputError(f"unknown direction {direction!r}", where="direction", cure='Use "minimize" or "maximize".')
    if fidelity is not None and not isinstance(fidelity, Fidelity):
        raise InputError(
            f"the fidelity is {fidelity!r}", where="fidelity", cure='Give advisor.Fidelity("epoch", 1, 52), or None for one measurement.'
        )
    told = getattr(objective, "direction", None)
    if told in ("minimize", "maximize") and told != direction:
        raise InputError(
            f"the objective is to be {told}d, and direction says {direction}", where="direction", cure=f'Say direction="{told}".'
        )
    kind: Kind = getattr(objective, "kind", "function")
    own_space = getattr(objective, "space", None) if space is None else None
    if space is None and own_space is None:
        return _optuna(objective, direction, fidelity, starts)
    found = _space(own_space if own_space is not None else space)
    if kind == "differentiable":
        found = _regularisers(found, objective.pair.learning_rate)  # type: ignore[attr-defined]
    brought = objective
    if fidelity is not None and kind != "command":  # a command is told where to end, and has things to do after its last step
        from advisor.objectives.own import Bounded

        brought = Bounded(objective, fidelity.high)
    steps = _takes_steps(objective)
    return brought, OwnObjective(
        name=name_of(given),
        kind=kind,
        space=found,
        direction=direction,
        fidelity=fidelity,
        starts=tuple(dict(s) for s in _mappings(starts)),
        is_resumable=fidelity is not None and steps and checkpoint_style(objective) != "none" and getattr(objective, "is_resumable", True),
        mutable=tuple(n for n, p in found.items() if isinstance(p, Float) and p.group is not Group.CAPACITY),
        has_third_split=bool(getattr(objective, "has_third_split", False)),
    )


def _optuna(
    objective: Callable[..., Any], direction: Literal["minimize", "maximize"], fidelity: Fidelity | None, starts: Sequence[Config]
) -> tuple[Callable[..., Any], OwnObjective]:
    """An objective of Optuna's, whose space is learned by running it.

    Raises: InputError when starts were given: there is no space yet that they could belong to.
    """
    from advisor.objectives.optuna_objective import OptunaObjective

    if list(starts):
        raise InputError(
            "starts cannot be checked before the objective has told its space", where="starts", cure="Leave them out, or give the space."
        )
    own = OwnObjective(name=name_of(objective), kind="optuna", space=SearchSpace(), direction=direction, fidelity=fidelity)
    return OptunaObjective(objective), own


def _space(space: Any) -> SearchSpace:
    """`space` as ours.

    Raises: InputError naming the parameter that is none, or that nothing is to be tuned.
    """
    if isinstance(space, SearchSpace):
        found = space
    elif isinstance(space, Mapping) and all(isinstance(p, Float | Int | Choice) for p in space.values()):
        from advisor.objectives.spaces import held

        for name in space:
            if not isinstance(name, str):
                raise InputError(f"{name!r} is no name of a parameter", where="space", cure="Name parameters by text.")
        try:
            found = SearchSpace(parameters={name: held(name, parameter, "space") for name, parameter in space.items()})
        except ValidationError as error:
            raise InputError(first_fault(error), where="space", cure="Put a parameter after those its condition names.") from error
    else:
        from advisor.objectives.spaces import space_from

        found = space_from(space)
    if not len(found):
        raise InputError(
            "the space is empty", where="space", cure='Give one parameter at least, such as {"lr": advisor.Float(1e-5, 1e-1)}.'
        )
    return found


def _mappings(starts: Any) -> list[Mapping[str, Any]]:
    if not isinstance(starts, Iterable) or isinstance(starts, str | Mapping):
        raise InputError(f"the starts are {starts!r}, no list", where="starts", cure="Give a list of configurations: [{...}].")
    found = list(starts)
    for number, start in enumerate(found):
        if not isinstance(start, Mapping):
            raise InputError(f"start {number} is a {type(start).__name__}", where="starts", cure="Give configurations: name to value.")
    return found


def _regularisers(space: SearchSpace, learning_rate: Any) -> SearchSpace:
    """`space`, whose numbers are regularisers where the user has not said otherwise: what a training loss contains, the rate apart."""
    said = {
        name: parameter.model_copy(update={"group": Group.REGULARISATION})
        for name, parameter in space.items()
        if isinstance(parameter, Float) and parameter.group is None and name != learning_rate
    }
    return space.replace(**said)


def _takes_steps(objective: Callable[..., Any]) -> bool:
    inner = objective if inspect.isfunction(objective) or inspect.ismethod(objective) else type(objective).__call__
    return inspect.isgeneratorfunction(inner) or hasattr(objective, "kind")


def name_of(objective: Callable[..., Any]) -> str:
    """What to call `objective`: ``module:function``, or its class."""
    called = getattr(objective, "name", None)
    if isinstance(called, str) and called:  # it says so itself: a command is called like its script
        return called
    if not hasattr(objective, "__qualname__") and (variable := _variable(objective)) is not None:
        return variable
    name = getattr(objective, "__qualname__", None) or type(objective).__name__
    module = getattr(objective, "__module__", "") or ""
    short = str(name).rsplit(".", 1)[-1].strip("<>")
    return short if module in ("", "__main__", "builtins") else f"{module}:{short}"


def _variable(value: Any) -> str | None:
    """``module:variable`` of an object that stands at the top level of a module which can be imported again; None without one."""
    for name, module in list(sys.modules.items()):
        if name != "__main__" and name.split(".")[0] != "advisor":
            for variable, found in list(getattr(module, "__dict__", {}).items()):
                if found is value:
                    return f"{name}:{variable}"
    return None


def _folder(run_dir: str | Path | None, own: OwnObjective, facts: Facts) -> RunFolder:
    """The folder of the run, made where it does not exist yet.

    Raises: InputError when another objective's run lives there; CannotRunError when it cannot be written.
    """
    from advisor.session.launching import free_place, name_stem

    path = Path(run_dir) if run_dir is not None else free_place(Path("runs"), name_stem(own.name))
    folder = RunFolder(path.resolve())
    try:
        if folder.journal.exists():
            before = folder.read_facts()
            if before.objective is None or before.objective != own:
                raise InputError("the run that lives here has another objective or space", where=str(path), cure="Name another run_dir.")
            return folder
        for place in (path, folder.logs, folder.work):
            place.mkdir(parents=True, exist_ok=True)
        folder.write_facts(facts)
        folder.write_request(Request(data=own.name, follows_facts=True))
    except OSError as error:
        raise CannotRunError(
            f"cannot write a run: {error.strerror}", where=str(path), cure="Name a run_dir that can be written."
        ) from error
    return folder
