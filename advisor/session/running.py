"""The walk of an engine process: read, race, search, confirm, ship."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.core.errors import CannotRunError, InputError, InterruptedRunError, NothingFinishedError
from advisor.core.events import EngineStarted, Noted, RunFinished, RunStarted
from advisor.core.facts import Facts, Unknown
from advisor.core.plan import Plan
from advisor.journal import Journal, read_events
from advisor.session.ending import close, kept_seconds, slowness
from advisor.session.exporting import offer_script
from advisor.session.folder import Request, RunFolder
from advisor.session.given_rows import read_given
from advisor.session.planning import load_plan, rulebook
from advisor.session.recording import Recorder
from advisor.session.searching import pilot, search
from advisor.session.shipping import confirm, finish
from advisor.session.tracking import tracked
from advisor.session.walking import Walk

if TYPE_CHECKING:
    from advisor.objectives.prepared import Prepared

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")
"""What tells the numeric libraries of a worker how many threads it has; read once, at their import."""


def run_engine(run_dir: Path, *, began: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Carries the run in `run_dir` out, from the start or from where an earlier engine ended.

    Raises: RunBusyError when another engine holds it; CannotRunError when nothing can be evaluated; NothingFinishedError
    when the budget ended before any trial had; InterruptedRunError when a signal ended it.
    """
    from advisor.supervise.commands import CommandBox
    from advisor.supervise.identity import process_identity
    from advisor.supervise.launch import StopSignals
    from advisor.supervise.lock import RunLock
    from advisor.supervise.pool import WorkerPool
    from advisor.supervise.resumption import interrupted

    folder = RunFolder(run_dir)
    entered, used = clock(), time.process_time()
    slow = 1.0
    if folder.read_facts().objective is not None:
        from advisor.session.tuning import run_own

        run_own(run_dir, began=began, clock=clock)
        return
    with RunLock(run_dir), StopSignals() as signals, Journal.open(folder.journal, is_abandoned=signals) as journal:
        events = [event for _, event in read_events(folder.journal)]
        recorder = Recorder(journal, events, began=began, clock=clock)
        plan = Plan.from_mapping(recorder.state.plan) if recorder.state.plan else load_plan(folder.plan)[0]
        request, facts = folder.read_request(), folder.read_facts()
        if not events:
            recorder.emit(RunStarted(run=folder.path.name, plan=plan.to_mapping(), versions=versions(), command=request.command))
        identity = process_identity()
        if identity is not None:
            recorder.emit(EngineStarted(pid=identity.pid, started_at_ticks=identity.started_at_ticks, boot_id=identity.boot_id))
        for event in interrupted(recorder.state):
            recorder.emit(event)
        threads = str(plan.envelope.threads_per_worker)
        with (
            tracked(recorder, folder),
            WorkerPool(
                size=plan.envelope.workers,
                environment=dict.fromkeys(THREAD_VARIABLES, threads),
                memory_bytes=memory_cap(plan, facts),
                log_folder=folder.logs,
                preload=preloaded(plan),
            ) as pool,
        ):
            try:
                prepared = prepare_table(folder, request, plan, facts)
                # Up to here this process has imported, read and split: it only computed, so that waiting is the machine's doing.
                slow = slowness(clock() - entered, time.process_time() - used)
                walk = Walk(
                    folder=folder,
                    facts=facts,
                    first=Plan.from_mapping(recorder.state.first_plan) if recorder.state.first_plan else plan,
                    plan=plan,
                    follows_facts=request.follows_facts,
                    recorder=recorder,
                    pool=pool,
                    commands=CommandBox(run_dir),
                    is_interrupted=signals,
                    prepared_table=prepared,
                    shutdown_seconds=kept_seconds(plan.budget.seconds, slow),
                    slow=slow,
                )
                _walk(walk)
            except NothingFinishedError as error:
                close(recorder, folder, RunFinished(status="nothing_finished", reason=str(error)), slow=slow)
                raise
            except (CannotRunError, InputError) as error:
                close(recorder, folder, RunFinished(status="failed", reason=str(error)), slow=slow)
                raise


MEMORY_FLOOR = 1 << 30
"""Bytes that a worker may hold whatever its share. Source: seen, torch 260 MB, Keras 440 MB and the tables 300 MB of writable memory."""
MEMORY_FLOOR_BESIDE_DEVICE = 16 << 30
"""The same where there is an accelerator, whose driver reserves memory of its own. [H]"""
STACK_BYTES = 16 << 20
"""What a thread of a library reserves. Source: seen, torch with 1 and with 16 threads."""


def memory_cap(plan: Plan, facts: Facts) -> int | None:
    """Bytes of writable memory that a worker may hold: its share by the plan, and never less than libraries need to start.

    None where the memory of the machine is not known.
    """
    share, device = plan.envelope.memory_per_worker_bytes, facts.hardware.torch_device
    if isinstance(share, Unknown):
        return None
    floor = MEMORY_FLOOR if isinstance(device, Unknown) or device == "cpu" else MEMORY_FLOOR_BESIDE_DEVICE
    return max(share, floor + plan.envelope.threads_per_worker * STACK_BYTES)


def preloaded(plan: Plan) -> tuple[str, ...]:
    """Modules that the workers import while the table is read, so that no trial pays for it."""
    families = rulebook().families
    has_network = any(families[c.family].trains_in_steps for c in plan.shortlist)
    return ("advisor.objectives.tables", *(("advisor.objectives.network",) if has_network else ()))


def prepare_table(folder: RunFolder, request: Request, plan: Plan, facts: Facts) -> Prepared:
    """Reads the table or the images, types it, sets the held-out rows apart and materialises the splits, all of it on disk for the workers.

    Raises: InputError when the data cannot be read, or a file to validate or test on is not the one the plan was made with;
    CannotRunError without a legal split.
    """
    from advisor.objectives.prepared import prepare
    from advisor.profiling.columns import cast, target_values
    from advisor.profiling.reading import read_table

    if facts.data.holds_images:
        from advisor.profiling.images import decode_images

        decoded = decode_images(request.data, facts.data, folder.work / "images.npy")
        prepared = prepare(decoded.labels.to_frame(), facts.data, plan, folder.work, images=decoded.path)
        return prepared.model_copy(update={"notes": (*decoded.notes, *prepared.notes)})
    raw = read_table(request.data)
    frame = cast(raw, facts.data.columns).with_columns(target_values(raw, plan.target, plan.table_task))
    given = read_given(plan, facts, request)
    return prepare(frame, facts.data, plan, folder.work, pixels=_pixels(plan, facts), valid=given.get("valid"), test=given.get("test"))


def _pixels(plan: Plan, facts: Facts) -> list[str]:
    """The columns that are pixels, where a family of the plan learns from images only; else the table is left as it is."""
    from advisor.profiling.structure import pixel_columns

    if facts.data.image_side == 0 or not any(rulebook().families[c.family].needs_images for c in plan.shortlist):
        return []
    apart = {plan.validation.group, plan.validation.time, plan.weights, *facts.answers.drop}
    return pixel_columns([c for c in facts.data.columns if c.name not in apart])


def _walk(walk: Walk) -> None:
    """All parts in order, and the end of the run in the journal."""
    if not walk.recorder.state.stages:
        for text in walk.prepared.notes:
            walk.recorder.emit(Noted(text=text))
    for family in dict.fromkeys([c.family for c in walk.plan.shortlist] + [t.family for t in walk.recorder.state.trials.values()]):
        walk.register(family)
    for part in (pilot, search, confirm, finish):
        part(walk)
    if walk.was_interrupted:
        raise InterruptedRunError(
            "interrupted; every finished trial is kept",
            where=walk.folder.path.name,
            cure=f"Go on with `advisor resume {walk.folder.path.name}`.",
        )
    if walk.recorder.state.best is None:
        seconds = walk.plan.budget.seconds
        raise NothingFinishedError(
            f"the budget of {seconds:g} s ended before any trial finished",
            where=walk.folder.path.name,
            cure=f"Give it more time, such as --budget {3 * seconds:.0f}s.",
        )
    export_study_in_time(walk)
    offer_script(walk)
    close(walk.recorder, walk.folder, RunFinished(status="stopped" if walk.has_stopped else "done"), slow=walk.slow)


STUDY_SECONDS = 4.0
"""What writing ``study.db`` takes for a thousand trials, SQLAlchemy's import included. Seen: 3.5 s on two busy cores."""


def export_study_in_time(walk: Walk) -> None:
    """Rebuilds ``study.db`` for other tools where there is time for it; a run that has used its budget says that it is left out.

    Where the search has imported Optuna already, writing takes no time to speak of.
    """
    if "optuna" in sys.modules or walk.remaining() > walk.slow * STUDY_SECONDS * (1 + len(walk.recorder.state.trials) / 1000):
        from advisor.engines.optuna_study import export_study

        export_study(walk.recorder.state, walk.folder.study)
    else:
        walk.recorder.emit(Noted(text="study.db was not written: too little of the budget is left. The journal holds everything."))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that execute plans, without importing them."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for name in ("tuning-advisor", "scikit-learn", "optuna", "torch", "numpy", "polars", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
