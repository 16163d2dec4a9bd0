"""``advisor run``, ``resume`` and ``stop``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.deciding import Decided, decide, is_plan_file
from advisor.cli.door import Door
from advisor.cli.following import interrupt, patient, watch
from advisor.cli.options import answer_options, facts_options, given_answers, json_option, query_option, runs_option
from advisor.core.errors import AdvisorError, ExitCode, InputError, InterruptedRunError

if TYPE_CHECKING:
    from advisor.core.events import StudyState
    from advisor.core.outcome import Outcome

_LAST_WORD_SECONDS = 2.0
"""How long an engine that has failed may take to leave its error."""


@click.command()
@click.argument("data", required=False, metavar="DATA|plan.toml")
@answer_options
@query_option
@facts_options
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@click.option("--continue", "continues", metavar="RUN", default=None, help="Reuse the finished trials of an earlier run on the same data.")
@click.option("--track", multiple=True, metavar="TRACKER", help="Write curves for tensorboard, wandb (offline) or mlflow; may be repeated.")
@runs_option
@json_option
@click.pass_obj
def run(
    door: Door,
    /,
    data: str | None,
    query: str | None,
    facts_file: Path | None,
    save_facts: Path | None,
    yes: bool,
    continues: str | None,
    track: tuple[str, ...],
    runs: Path,
    **rest: Any,
) -> int:
    """Recommends a plan for DATA (or takes a saved one) and carries it out: a tuned model and an honest estimate.

    Ctrl-C interrupts; `advisor resume` goes on. Closing the terminal stops nothing: `advisor attach` comes back.
    Without a terminal nothing is asked, as with --yes.
    """
    # A plan names its own table; a table named here is read again as it was named, secrets of a URL included.
    named = None if data is None or is_plan_file(data) else data
    decided = decide(door, data, query=query, runs=runs, facts_file=facts_file, answers=given_answers(rest), save_facts=save_facts)
    from advisor.report.text import headline, plan_text

    if door.can_ask and not yes:
        door.say(plan_text(decided.plan, facts=decided.facts))
        door.say("")
        if not _agrees(door):
            door.say("Nothing was run.")
            return int(ExitCode.DONE)
        # The time a person took to read is not the run's.
        began = door.clock()
    else:
        door.say(headline(decided.plan))
        for warning in decided.facts.data.warnings:
            door.say(f"warning: {warning}")
        began = door.began()
    return carry_out(door, decided, named=named, query=query, runs=runs, began=began, track=track, continues=continues)


def carry_out(
    door: Door,
    decided: Decided,
    *,
    named: str | None,
    query: str | None,
    runs: Path,
    began: float,
    track: tuple[str, ...] = (),
    continues: str | None = None,
) -> int:
    """Starts the run, narrates it to its end, prints what came out, and gives the exit code. `named` is the table as it was named."""
    run_dir: Path | None = None
    given: dict[str, Any] = {"data": named, "query": query, "runs": runs, "began": began, "track": track, "continues": continues}
    try:
        with patient(door):
            run_dir = door.session.start(decided.plan, decided.facts, **given)
            door.say(f"run {run_dir.name} (watch it from elsewhere: advisor attach {run_dir.name})")
    except KeyboardInterrupt:
        if run_dir is None:
            raise
        return finish(door, run_dir, interrupt(door, run_dir))
    return finish(door, run_dir, watch(door, run_dir, may_interrupt=True))


@click.command()
@click.argument("name", metavar="RUN")
@runs_option
@json_option
@click.pass_obj
def resume(door: Door, /, name: str, runs: Path) -> int:
    """Goes on with RUN where it was interrupted. Every finished trial is kept and counted once."""
    run_dir = door.session.find_run(name, runs)
    door.session.resume(run_dir, began=door.began())
    return finish(door, run_dir, watch(door, run_dir, may_interrupt=True))


@click.command()
@click.argument("name", metavar="RUN")
@runs_option
@json_option
@click.pass_obj
def stop(door: Door, /, name: str, runs: Path) -> int:
    """Stops RUN: no new trials, the best so far is confirmed, scored and kept."""
    run_dir = door.session.find_run(name, runs)
    follower = door.session.follow(run_dir)
    state = follower.poll()
    if state.finished is not None:
        raise InputError("the run is over already", where=run_dir.name, cure=f"Look at it with `advisor attach {run_dir.name}`.")
    door.session.send(run_dir, "stop")
    door.say(f"Asked {run_dir.name} to stop and keep the best.")
    return finish(door, run_dir, watch(door, run_dir, may_interrupt=False))


def finish(door: Door, run_dir: Path, state: StudyState) -> int:
    """Prints what came out and gives the exit code it stands for.

    Raises: InterruptedRunError when the run ended before it had a plan.
    """
    kept = f"{state.counts()['completed']} finished trials are kept"
    interrupted = InterruptedRunError(f"interrupted; {kept}", where=run_dir.name, cure=f"Go on with `advisor resume {run_dir.name}`.")
    if state.plan is None:
        raise interrupted
    outcome = door.session.outcome(run_dir)
    if door.as_json:
        door.result_json(json.dumps(outcome.to_mapping(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        from advisor.report.text import outcome_text

        door.result(outcome_text(outcome))
    code = exit_code(outcome, run_dir, state)
    if code is ExitCode.INTERRUPTED:
        door.say(str(interrupted))
    elif code is not ExitCode.DONE and state.finished is not None:
        door.say(f"error: {state.finished.reason or state.finished.status}")
    return int(code)


def exit_code(outcome: Outcome, run_dir: Path, state: StudyState) -> ExitCode:
    """The exit code of a run that ended so."""
    match outcome.status:
        case "done" | "stopped" | "running":
            return ExitCode.DONE
        case "nothing_finished":
            return ExitCode.NOTHING_FINISHED
        case "interrupted":
            return ExitCode.INTERRUPTED
        case "failed":
            problem = _left_error(run_dir, state)
            return problem.exit_code if problem is not None else ExitCode.CANNOT_RUN


def _left_error(run_dir: Path, state: StudyState) -> AdvisorError | None:
    """The error with which the engine gave up; None when it left none.

    The journal says that a run has failed a moment before the engine leaves the error, which alone knows the exit code.
    """
    from advisor.supervise.identity import ProcessIdentity, is_alive
    from advisor.supervise.launch import read_error

    engine, give_up = state.engine, time.monotonic() + _LAST_WORD_SECONDS
    while (problem := read_error(run_dir)) is None and engine is not None and time.monotonic() < give_up:
        if engine.pid == os.getpid() or not is_alive(
            ProcessIdentity(pid=engine.pid, started_at_ticks=engine.started_at_ticks, boot_id=engine.boot_id)
        ):
            return read_error(run_dir)
        time.sleep(0.02)
    return problem


def _agrees(door: Door) -> bool:
    """Asks once whether to run the plan; an empty answer is yes. Raises: KeyboardInterrupt."""
    door.err.write("Run this plan? [Y/n] ")
    door.err.flush()
    answer = door.source.readline()
    return answer != "" and answer.strip().casefold() in ("", "y", "yes")
