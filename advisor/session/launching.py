"""Starting and resuming runs: in a detached engine process, or in the calling one."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.core.errors import CannotRunError, InputError, nearest
from advisor.core.events import Event
from advisor.core.facts import Facts, Unknown
from advisor.core.metrics import metric
from advisor.core.outcome import Outcome
from advisor.core.plan import Plan
from advisor.session.continuing import begin_with, carried_over
from advisor.session.folder import Request, RunFolder
from advisor.session.following import engine_lives, find_run, follow
from advisor.session.gathering import gather
from advisor.session.given_rows import check_given
from advisor.session.outcomes import outcome
from advisor.session.planning import facts_behind, load_plan, recommend, rulebook, save_plan
from advisor.session.tracking import check as check_trackers

ENGINE_MODULE = "advisor.session.engine"
"""What the detached process runs."""


def start(
    plan: Plan,
    facts: Facts,
    *,
    data: Any = None,
    query: str | None = None,
    runs: str | Path = "runs",
    name: str | None = None,
    run_dir: str | Path | None = None,
    began: float | None = None,
    track: Sequence[str] = (),
    continues: str | Path | None = None,
) -> Path:
    """Makes the folder of a run and starts its engine as a process of its own; returns the folder.

    `data` is only needed where the plan was not made from a file or a name. `began` is the monotonic second at which the
    budget starts; the default is now. `track` names the trackers that curves are written for (`session.tracking`).
    `continues` names an earlier run whose finished trials are reused (`session.continuing`).

    Raises: InputError for an unknown tracker, and when the earlier run's scores cannot be compared;
    CannotRunError when one is not installed,
    when the folder cannot be written or the engine does not start.
    """
    folder = create(plan, facts, data=data, query=query, runs=runs, name=name, run_dir=run_dir, track=track, continues=continues)
    _launch(folder, began)
    return folder.path


def execute(
    plan: Plan,
    data: Any,
    *,
    run_dir: str | Path | None = None,
    facts: Facts | None = None,
    track: Sequence[str] = (),
    continues: str | Path | None = None,
) -> Outcome:
    """Carries `plan` out on `data` in the calling process (trials run in worker processes all the same).

    `continues` names an earlier run whose finished trials are reused.

    Raises: CannotRunError when it cannot run here; NothingFinishedError when the budget ended before any trial had.
    """
    from advisor.session.running import run_engine

    began = time.monotonic()
    seen = facts if facts is not None else facts_behind(plan, data)
    if seen is None:
        seen = _gathered(plan, data)
    folder = create(plan, seen, data=data, run_dir=run_dir, track=track, continues=continues)
    run_engine(folder.path, began=began)
    return outcome(folder.path)


def _gathered(plan: Plan, data: Any) -> Facts:
    """Facts for a plan that comes without any: what it names is read again."""
    named = {name: rows.source for name, rows in (("valid", plan.valid), ("test", plan.test)) if rows is not None}
    return gather(data, target=plan.target, task=plan.task, budget_seconds=plan.budget.seconds, seed=plan.seed, **named)


def resume(run_dir: str | Path, *, began: float | None = None) -> Path:
    """Starts a new engine that goes on with the run where the last one ended; returns its folder.

    Raises: InputError when the run is done, or a file to validate or test on is another than it began with; RunBusyError when its
    engine still lives.
    """
    state = follow(run_dir).poll()
    name = Path(run_dir).name
    if state.finished is not None and state.finished.status == "done":
        raise InputError(f"run {name} is done", where=str(run_dir), cure=f"Look at it with `advisor attach {name}`.")
    if engine_lives(state):
        raise InputError(f"run {name} is still running", where=str(run_dir), cure=f"Watch it with `advisor attach {name}`.")
    folder = RunFolder(Path(run_dir).resolve())
    if state.plan is not None and state.plan["task"] is not None:
        check_given(Plan.from_mapping(state.plan), folder.read_request())
    _launch(folder, began)
    return Path(run_dir)


def _launch(folder: RunFolder, began: float | None) -> None:
    """Starts a detached engine and waits until the journal knows it."""
    from advisor.journal import has_engine_started
    from advisor.supervise.launch import launch_engine

    launch_engine(
        folder.path,
        began=began if began is not None else time.monotonic(),
        arguments=["-P", "-m", ENGINE_MODULE, str(folder.path)],
        is_ready=lambda pid: has_engine_started(folder.journal, pid),
    )


def create(
    plan: Plan,
    facts: Facts,
    *,
    data: Any = None,
    query: str | None = None,
    runs: str | Path = "runs",
    name: str | None = None,
    run_dir: str | Path | None = None,
    track: Sequence[str] = (),
    continues: str | Path | None = None,
) -> RunFolder:
    """A new run folder with its plan, facts and request; nothing is started.

    Raises: InputError when a plan changed by hand cannot be meant, or its table is gone; CannotRunError when no engine runs its
    strategy, or the folder exists already or cannot be written. The plan is refused before a folder is made.
    """
    check_cluster(facts)
    if facts.objective is None:
        _check(plan, facts, None if data is not None or query is not None else facts.data.source)
    follows, trackers = _follows(plan, facts), check_trackers(track)
    earlier: list[Event] = []
    if continues is not None:
        plan, earlier = carried_over(find_run(continues, runs), plan, facts)
    target = Path(run_dir) if run_dir is not None else Path(runs)
    try:
        stem = _name_of(facts.data.source) if facts.objective is None else name_stem(facts.objective.name)
        target = target if run_dir is not None else free_place(target, name or stem)
        target.mkdir(parents=True, exist_ok=run_dir is not None)
        folder = RunFolder(target.resolve())
        if folder.journal.exists():
            raise CannotRunError("a run lives here already", where=str(target), cure="Name another folder, or resume it.")
        folder.logs.mkdir(exist_ok=True)
        folder.work.mkdir(exist_ok=True)
        folder.write_facts(facts)
        request = _request(plan, facts, data, query, folder, follows=follows)
        folder.write_request(request.model_copy(update={"track": trackers}))
        save_plan(plan, folder.plan, facts=facts)
        if earlier:
            begin_with(folder, plan, earlier, request.command)
    except OSError as error:
        raise CannotRunError(
            f"cannot write a run: {error.strerror}", where=str(target), cure="Choose a folder that can be written with --runs."
        ) from error
    return folder


def _request(plan: Plan, facts: Facts, data: Any, query: str | None, folder: RunFolder, *, follows: bool) -> Request:
    rest = f"--budget {plan.budget.seconds:g}s --seed {plan.seed}"
    if facts.objective is not None:
        answers = facts.answers
        given = {"--command": answers.command, "--space": answers.space, "--fidelity": answers.fidelity, "--direction": answers.direction}
        named = [f"--model {answers.model}"] if ":" in answers.model else []
        words = [*named, *(f"{flag} {shlex.quote(value)}" for flag, value in given.items() if value is not None)]
        return Request(
            data=facts.objective.name,
            follows_facts=follows,
            command=f"advisor run {' '.join(words)} {rest}",
            working_folder=str(Path.cwd()),
        )
    source = _source(facts.data.source if data is None else data, query, folder)
    files = {n: rows.source for n, rows in (("valid", plan.valid), ("test", plan.test)) if rows is not None}
    flags = "".join(f" --{name} {shlex.quote(path)}" for name, path in files.items())
    return Request(
        data=source,
        follows_facts=follows,
        command=f"advisor run {facts.data.source} --target {plan.target}{flags} {rest}",
        **{name: str(Path(path).expanduser().resolve()) for name, path in files.items()},
    )


def check_cluster(facts: Facts) -> None:
    """Refuses a run on a cluster that was named and does not answer: it would run on this machine without a word.

    Raises: CannotRunError with what the probe saw; nothing with ``--force``.
    """
    slots, address = facts.hardware.cluster_slots, facts.answers.cluster
    if address is not None and isinstance(slots, Unknown) and not facts.answers.force:
        raise CannotRunError(
            f"the cluster {address} cannot be used: {slots.reason}",
            where="--cluster",
            cure=slots.cure or "Start Ray there, leave --cluster out, or add --force to run on this machine.",
        )


def name_stem(name: str) -> str:
    """What a folder may be called after `name`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "run"


def _check(plan: Plan, facts: Facts, source: str | None) -> None:
    """Refuses what a hand may have written into a plan and no run could carry out; `source` is the table that must be there."""
    where = "plan"
    if not 0 < plan.budget.seconds < float("inf"):
        raise InputError(f"a budget of {plan.budget.seconds:g} s", where=f"{where}: budget.seconds", cure="Give it a time above zero.")
    metric(plan.metric, plan.task)
    known = rulebook().families
    for family in (plan.family, *(c.family for c in plan.shortlist)):
        if family not in known:
            raise InputError(f"unknown model {family!r}", where=f"{where}: family", cure=nearest(family, known))
    if isinstance(facts.data.target, str) and plan.target not in (facts.data.target, *(c.name for c in facts.data.columns)):
        names = [facts.data.target, *(c.name for c in facts.data.columns)]
        raise InputError(f"The table has no column {plan.target!r}", where=f"{where}: target", cure=nearest(plan.target, names))
    for strategy in (plan.strategy, *(s.strategy for s in plan.stages)):
        if strategy.value not in facts.engines:
            raise CannotRunError(
                f"no engine of this version runs {strategy.value}",
                where=f"{where}: strategy",
                cure="Choose another strategy, or leave it to us.",
            )
    if source is not None and not source.startswith("sklearn:") and "://" not in source and not Path(source).exists():
        raise InputError(f"There is no file {source}", where=f"{where}: data", cure="Put the table back, or plan anew.")
    check_given(plan)


def _follows(plan: Plan, facts: Facts) -> bool:
    """True when the plan is the rules' own, so that measured facts may revise it."""
    return recommend(facts).hash == plan.hash


def _source(data: Any, query: str | None, folder: RunFolder) -> str:
    """What a later process can read the data from: names and paths as they are; tables in memory and the answers of databases are
    written beside the run, so that a resume needs neither the one nor the secrets of the other."""
    if isinstance(data, str | Path) and "://" not in str(data):
        text = str(data)
        return str(Path(text).resolve()) if Path(text).exists() else text
    from advisor.profiling.reading import read_table

    read_table(data, query=query).write_ipc(folder.table)
    return str(folder.table)


def _name_of(source: str) -> str:
    """A folder name made from what the user named."""
    stem = Path(source.removeprefix("sklearn:")).name.split(".")[0] if "://" not in source else "query"
    return name_stem(stem)


def free_place(runs: Path, stem: str) -> Path:
    """A folder below `runs` that does not exist yet: the stem, the day and the time, numbered where two start in one minute."""
    stamp = time.strftime("%m%d-%H%M")
    for number in range(1, 1000):
        place = runs / (f"{stem}-{stamp}" if number == 1 else f"{stem}-{stamp}-{number}")
        if not place.exists():
            return place
    raise CannotRunError("a thousand runs began in this minute", where=str(runs), cure="Name another folder with --runs.")


def plan_and_facts(path: str | Path) -> tuple[Plan, Facts]:
    """A saved plan with its facts, gathered anew where the file does not hold them.

    Raises: InputError when the file or the data it names cannot be read.
    """
    plan, facts = load_plan(path)
    if facts is None:
        facts = _gathered(plan, plan.data)
    return plan, facts
