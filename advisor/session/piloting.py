"""What the pilot measures of networks besides their fit time: the batch that memory allows, and where learning rates lie.

Memory only ever lowers the batch that the rules have set. Each lowering is a revision of the plan, so that a resumed run has it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from advisor.core.events import Event, Noted, PlanRevised, StudyState, TrialFailed
from advisor.core.facts import Unknown
from advisor.core.plan import Evidence, Plan
from advisor.core.space import Choice, Config, Float
from advisor.session.planning import changes, rulebook
from advisor.session.walking import Walk

SHARE = 0.05
"""Share of the budget that a measurement ahead of trials may take; one that would take longer is left out. [H]"""
TRACE_SECONDS = 10.0
"""What tracing a network takes on a busy processor. Seen: 1 s on an idle one, 12 s on one with six times its load."""
WORKER_SECONDS = 3.0
"""Longest wait for a free worker; without one the measurement is left out."""
MOST_SECONDS = 30.0
"""Longest time for probing batches. [H]"""
LARGEST = 8192
"""Batches beyond it are not looked at. Source: knowledge E.2."""
SMALLEST = 8
"""A batch is not halved below it: what does not fit then is the network."""
RATE = "lr"
"""Name of the learning rate in the families that train in steps."""
ASKED = -1
"""The number under which a worker is asked; trials count from 0."""


def prepare(walk: Walk) -> None:
    """Before the race: takes up what earlier lives lowered, listens for trials that die of memory, and measures the largest batches."""
    if walk.is_own:
        return
    for family, batch in _lowered_before(walk).items():
        _hold(walk, family, batch)
    walk.recorder.listen(_Watch(walk))
    if walk.recorder.state.trials or walk.was_interrupted:
        return
    for candidate in walk.first.shortlist:
        if rulebook().families[candidate.family].trains_in_steps:
            _measure_batch(walk, candidate.family)


def _measure_batch(walk: Walk, family: str) -> None:
    """Journals the largest batch of the largest network of the space, and lowers the planned one where it does not fit."""
    envelope, planned = walk.plan.envelope, walk.batch(family)
    allowed = SHARE * walk.plan.budget.seconds
    if planned is None or (envelope.device == "cpu" and (allowed < TRACE_SECONDS or isinstance(envelope.memory_per_worker_bytes, Unknown))):
        return
    most = max(planned, min(walk.prepared.development_rows, LARGEST))
    answer = _ask(
        walk,
        family,
        {
            "what": "batch",
            "config": _largest_network(walk, family),
            "planned": planned,
            "most": most,
            "memory_bytes": None if envelope.device != "cpu" else envelope.memory_per_worker_bytes,
            "sharing": envelope.workers,
            "seconds": min(allowed, MOST_SECONDS),
        },
        limit_seconds=min(allowed + MOST_SECONDS, 0.25 * walk.plan.budget.seconds),
    )
    if isinstance(answer, str):
        walk.recorder.emit(Noted(text=f"The largest batch of the {_title(family)} was not measured: {answer}."))
        return
    from advisor.objectives.batch_size import lowered

    batch = max(lowered(planned, fits=answer["fits"]), min(planned, SMALLEST))
    said = f"{_found(answer, family, most)}; {batch:,} are used, in {answer['precision']}."
    if batch == planned:
        walk.recorder.emit(Noted(text=said))
    else:
        _lower(walk, family, batch, said, {"fits": answer["fits"], "memory_bytes": answer["memory_bytes"]})


def _found(answer: dict[str, Any], family: str, most: int) -> str:
    """What was measured of batches, in a few words."""
    from advisor.objectives.batch_size import STEPS_AN_EPOCH

    free, fits, network = f"{answer['memory_bytes'] / 2**30:.1f} GiB", answer["fits"], f"the largest {_title(family)} of the space"
    if not fits:
        return f"No batch of {network} was seen to fit into {free}"
    found = f"Batches of {network} fit into {free} up to {fits:,} rows{', the most looked at' if fits >= most else ''}"
    knee = f", above {answer['knee']:,} they are no faster" if answer["knee"] is not None else ""
    return f"{found}{knee}, and {STEPS_AN_EPOCH} steps an epoch leave {answer['at_most']:,}"


def _largest_network(walk: Walk, family: str) -> Config:
    """The configuration that takes most memory: the default with every number of the capacity at its upper end."""
    space = next(c.space for c in (*walk.first.shortlist, *walk.plan.shortlist) if c.family == family)
    high = {n: p.high for n, p in space.items() if p.group == "capacity" and not isinstance(p, Choice)}
    return space.active({**space.default(), **high})


# ------------------------------------------------------------------------------------------------ trials that die of memory


class _Watch:
    """Halves the batch of a family when one of its trials dies of memory, once for all that ran with the same batch."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._since: dict[str, float] = {}
        """When the batch of a family was last halved."""

    def __call__(self, events: Sequence[Event], state: StudyState) -> None:
        for event in events:
            if isinstance(event, TrialFailed) and event.category == "memory":
                trial = state.trials[event.trial]
                batch = self._walk.batch(trial.family)
                if batch is None or batch // 2 < SMALLEST or trial.started_elapsed < self._since.get(trial.family, 0.0):
                    continue
                self._since[trial.family] = state.elapsed
                said = f"Trial {trial.number} died of memory with batches of {batch:,}: further ones have {batch // 2:,}."
                _lower(self._walk, trial.family, batch // 2, said, {"died": trial.number})


def _lower(walk: Walk, family: str, batch: int, reason: str, facts: dict[str, Any]) -> None:
    """Puts a smaller batch in force: for the workers, in the plan, and in the journal."""
    _hold(walk, family, batch)
    before = walk.plan
    walk.plan = _proven(walk.with_batches(before), family, batch, reason, facts)
    latest = next((r.measured for r in reversed(walk.recorder.state.revisions)), ())
    walk.recorder.emit(
        PlanRevised(plan=walk.plan.to_mapping(), reason=reason, changes=changes(before, walk.plan), measured=latest, about="resources")
    )


def _hold(walk: Walk, family: str, batch: int) -> None:
    walk.batches[family] = batch
    walk.register(family)
    for name in [n for n in walk.registered if n.startswith(f"search/{family}@")]:
        walk.registered.discard(name)


def _proven(plan: Plan, family: str, batch: int, reason: str, facts: dict[str, Any]) -> Plan:
    """The plan with the proof of its batch exchanged."""
    if family != plan.family:
        return plan
    proof = Evidence(
        field="envelope.batch_size",
        value=batch,
        rule="measured",
        because=reason,
        facts=facts,
        source="knowledge E.2 (what fits, measured before the space is opened)",
    )
    return plan.model_copy(update={"evidence": (*(e for e in plan.evidence if e.field != proof.field), proof)})


def _lowered_before(walk: Walk) -> dict[str, int]:
    """Family to its batch, where an earlier life of the run has lowered it."""
    found: dict[str, int] = {}
    for revision in walk.recorder.state.revisions:
        if revision.about == "resources":
            for candidate in Plan.from_mapping(revision.plan).shortlist:
                batch, now = candidate.fixed.get("batch_size"), walk.batch(candidate.family)
                if batch is not None and now is not None and batch < min(now, found.get(candidate.family, now)):
                    found[candidate.family] = batch
    return found


# ------------------------------------------------------------------------------------------------ learning rates


def with_rates(walk: Walk, plan: Plan) -> Plan:
    """After the race: `plan` with its learning rates narrowed to where a range test of the default says that they lie."""
    family, space = plan.family, plan.space
    rate = space.parameters.get(RATE)
    if walk.is_own or not rulebook().families[family].trains_in_steps or not isinstance(rate, Float) or rate.hard or rate.low >= rate.high:
        return plan
    seconds, searches = _range_seconds(walk, family), any(s.name not in ("pilot", "confirm") for s in plan.stages)
    if seconds is None or not searches or seconds > SHARE * plan.budget.seconds:
        return plan
    answer = _ask(walk, family, {"what": "range", "config": space.default()}, limit_seconds=max(4 * seconds, 5.0))
    if isinstance(answer, str) or answer["suggestion"] is None:
        because = answer if isinstance(answer, str) else "the loss of the default never fell"
        walk.recorder.emit(Noted(text=f"The learning-rate range test of the {_title(family)} told nothing: {because}."))
        return plan
    from advisor.objectives.range_test import window

    low_high = window(rate, answer["suggestion"], holds=_best_rate(walk, family))
    said = (
        f"Learning-rate range test of the {_title(family)}: in {answer['steps']} steps the loss fell fastest at {answer['suggestion']:.2g}"
    )
    if (low_high.low, low_high.high) == (rate.low, rate.high):
        walk.recorder.emit(Noted(text=f"{said}; the range {rate.low:.2g} to {rate.high:.2g} stays."))
        return plan
    walk.recorder.emit(Noted(text=f"{said}: the search begins in {low_high.low:.2g} to {low_high.high:.2g}, and may widen it again."))
    narrowed = plan.candidate.model_copy(update={"space": space.replace(**{RATE: low_high})})
    return plan.model_copy(update={"shortlist": tuple(narrowed if c.family == family else c for c in plan.shortlist)})


def _range_seconds(walk: Walk, family: str) -> float | None:
    """Seconds that the steps of a range test should take, by the trials so far; None when none has finished."""
    from advisor.objectives.range_test import STEPS

    fits = [t.fit_seconds for t in walk.recorder.state.trials.values() if t.family == family and t.status == "completed"]
    epochs = int(walk.family(family).fixed.get("epochs", 1))
    rows = walk.prepared.development_rows * (1 - 1 / max(walk.plan.validation.folds, 2))
    batches = max(1, round(rows / (walk.batch(family) or rows)))
    return None if not fits else median(fits) * STEPS / (epochs * batches)


def _best_rate(walk: Walk, family: str) -> list[float]:
    state = walk.recorder.state
    done = [t for t in state.trials.values() if t.family == family and t.status == "completed" and t.value is not None]
    sign = 1 if state.direction == "minimize" else -1
    best = min(done, key=lambda t: sign * (t.value or 0.0), default=None)
    return [best.config[RATE]] if best is not None and RATE in best.config else []


# ------------------------------------------------------------------------------------------------ asking a worker


def _ask(walk: Walk, family: str, question: Config, *, limit_seconds: float) -> dict[str, Any] | str:
    """What a worker answers to a question of `NetworkResources`, or in a few words why it does not. No trial may be running."""
    from advisor.objectives.network_objective import NetworkObjective
    from advisor.objectives.resources import NetworkResources
    from advisor.supervise.evaluation import Died, Ended, Stepped

    objective = walk.prepared.objective(
        walk.family(family), seed=walk.plan.seed, threads=walk.plan.envelope.threads_per_worker, device=walk.plan.envelope.device
    )
    assert isinstance(objective, NetworkObjective)
    name = f"resources/{family}"
    walk.pool.register(name, NetworkResources(objective))
    patience = time.monotonic() + WORKER_SECONDS
    while not walk.pool.idle:  # the last trial's model may still be written, or its worker be replaced
        if time.monotonic() > patience:
            return "no worker was free"
        walk.pool.poll(0.1)
    walk.pool.start(ASKED, name, question, limit_seconds=limit_seconds)
    while True:
        for report in walk.pool.poll(0.1):
            match report:
                case Stepped():
                    walk.pool.advance(ASKED)
                case Ended():
                    return report.suggested or {}
                case Died():
                    return report.cause.rstrip(".")
        if walk.is_interrupted():
            walk.was_interrupted = True
            walk.pool.kill(ASKED)


def _title(family: str) -> str:
    return rulebook().families[family].title
