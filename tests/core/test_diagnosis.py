"""Symptoms of curves and trials, and the findings that the shipped rules draw from them."""

from __future__ import annotations

import math
import random

import pytest

from advisor.core.diagnosis import Diagnosed, Diagnosis, diagnose
from advisor.core.diagnosis_curves import MEASURES, Curve, curve_symptoms, smoothed
from advisor.core.diagnosis_symptoms import SYMPTOMS, show
from advisor.core.diagnosis_trials import PAIR, PARAMETER, STUDY, Study, Tried
from advisor.core.facts import Unknown
from advisor.core.space import Choice, Float, Int, SearchSpace
from tests.fakes.rulebooks import shipped


def ids(found: Diagnosed) -> set[str]:
    return {f.id for f in found.findings}


def of_curve(validation: list[float] | None, train: list[float] | None = None, **told: object) -> Diagnosed:
    steps = tuple(float(i) for i in range(1, len(validation or train or []) + 1))
    curve = Curve(
        "it",
        steps,
        None if validation is None else tuple(validation),
        None if train is None else tuple(train),
        **told,  # type: ignore[arg-type]
    )
    return diagnose(shipped().diagnoses, curves=[curve])


def falling(end: float, rate: float = 0.15, points: int = 60) -> list[float]:
    return [end + (1 - end) * math.exp(-rate * i) for i in range(points)]


SPACE = SearchSpace(
    parameters={
        "learning_rate": Float(1e-5, 1e-1, log=True),
        "weight_decay": Float(1e-6, 1e-1, log=True),
        "width": Int(16, 256, log=True),
        "noise": Float(0.0, 7.0),
        "optimizer": Choice(["sgd", "adam"]),
    }
)


def drawn(seed: int) -> dict[str, object]:
    draw = random.Random(seed)
    return {
        "learning_rate": 10 ** draw.uniform(-5, -1),
        "weight_decay": 10 ** draw.uniform(-6, -1),
        "width": round(2 ** draw.uniform(4, 8)),
        "noise": draw.uniform(0, 7),
        "optimizer": draw.choice(["sgd", "adam"]),
    }


def study_of(score, trials: int = 100, *, seed: int = 0, **told: object) -> Study:  # type: ignore[no-untyped-def]
    """A study of a cheap objective that was really run; None from `score` is a failure."""
    tried = []
    for number in range(trials):
        config = drawn(1000 * seed + number)
        value = score(config)
        status = "failed" if value is None else "completed"
        tried.append(Tried(number, config, status, value, cause="diverged" if value is None else ""))
    return Study(tuple(tried), "minimize", SPACE, roles={"learning_rate": "learning_rate"}, **told)  # type: ignore[arg-type]


def log10(config: dict[str, object], name: str) -> float:
    return math.log10(float(config[name]))  # type: ignore[arg-type]


def test_every_symptom_is_measured_and_every_measure_is_documented() -> None:
    assert {*MEASURES, *STUDY, *PARAMETER, *PAIR} == set(SYMPTOMS)


def test_a_curve_that_arrives_and_stays_has_no_finding() -> None:
    assert ids(of_curve(falling(0.2), falling(0.15))) == set()


def test_a_score_to_be_maximised_is_read_like_the_loss_it_mirrors() -> None:
    rising = [2 - v for v in falling(0.2)]
    assert ids(of_curve(rising, direction="maximize")) == set()
    assert "validation-rises" in ids(of_curve(rising, direction="minimize"))


def test_a_value_that_is_no_number_hides_what_comes_after_it() -> None:
    found = of_curve([*falling(0.2), math.nan, 3.0], [*falling(0.1), 5.0, math.inf])
    assert ids(found) == {"not-finite"}
    assert "from step 61" in found.findings[0].seen


def test_too_few_points_are_unknown_and_raise_nothing() -> None:
    found = of_curve([1.0, 0.5, 0.9], [1.0, 2.0, 9.0])
    assert ids(found) == set()
    assert {p.id for p in found.passed} >= {"overfits", "slow-start"}
    assert "3 finite points, 8 needed" in {p.reason for p in found.passed}


def test_a_symptom_that_is_missing_says_why() -> None:
    symptoms = curve_symptoms(Curve("it", tuple(range(20)), tuple(falling(0.2, points=20))))
    assert isinstance(symptoms["curve.gap_ratio"], Unknown)
    assert isinstance(symptoms["curve.shortfall_ratio"], Unknown)
    assert symptoms["curve.rise_ratio"] < 0.01


def test_smoothing_shifts_nothing_and_keeps_the_level() -> None:
    assert smoothed([2.0] * 30) == pytest.approx([2.0] * 30)
    dip = smoothed([abs(i - 60) / 60 for i in range(121)])
    assert min(range(121), key=dip.__getitem__) == 60


def test_overfitting_is_told_with_the_step_to_stop_at() -> None:
    turning = [*falling(0.3, points=30), *(0.3 + 0.02 * i for i in range(30))]
    found = of_curve(turning, falling(0.02, points=60))
    assert ids(found) == {"overfits"}
    assert "Stop at the best step" in found.findings[0].cure
    assert ids(of_curve(turning)) == {"validation-turns"}


def test_folds_that_disagree_about_a_rise_make_it_no_overfitting() -> None:
    base = falling(0.3, points=30)
    up = [*base, *(0.3 + 0.03 * i for i in range(30))]
    down = [*base, *(0.3 - 0.009 * i for i in range(30))]
    mean = [(a + b) / 2 for a, b in zip(up, down, strict=True)]
    folds = (tuple(up), tuple(down))
    assert "overfits" in ids(of_curve(mean, falling(0.02)))
    assert "overfits" not in ids(of_curve(mean, falling(0.02), folds=folds))


def test_a_simple_model_tells_a_network_that_cannot_follow_its_rows_from_one_that_repeats_them() -> None:
    assert ids(of_curve(falling(0.5), falling(0.48), reference=0.3)) == {"underfits"}
    assert ids(of_curve(falling(0.5), falling(0.01), reference=0.3)) == {"repeats-rows"}
    assert ids(of_curve(falling(0.3), falling(0.28), reference=0.3)) == set()


def test_a_training_that_still_gains_and_trails_a_simple_model_was_stopped_and_is_not_called_too_small() -> None:
    still = falling(0.2, rate=0.15, points=13)
    assert ids(of_curve(still, falling(0.18, rate=0.15, points=13), reference=0.2)) == {"stopped-behind"}


def test_validation_on_few_rows_is_not_blamed_on_the_learning_rate_where_the_training_loss_is_near_0() -> None:
    draw = random.Random(0)
    train = [0.01 + v + 0.002 * draw.gauss(0, 1) for v in falling(0.0, rate=0.3)]
    valid = [abs(v + 0.1 * draw.gauss(0, 1)) for v in falling(0.2, rate=0.3)]
    assert ids(of_curve(valid, train)) == {"noisy-validation"}


def test_equal_findings_about_several_curves_are_joined() -> None:
    curves = [Curve(f"trial {i}", tuple(range(60)), (*falling(0.2, points=59), math.nan)) for i in range(6)]
    (finding,) = diagnose(shipped().diagnoses, curves=curves).findings
    assert finding.about == "trial 0, trial 1, trial 2, trial 3 and 2 more"


def test_a_best_trial_at_a_bound_that_matters_is_found_and_one_by_chance_is_not() -> None:
    pressed = study_of(lambda c: -log10(c, "learning_rate"))
    found = diagnose(shipped().diagnoses, study=pressed)
    (edge,) = [f for f in found.findings if f.id == "presses-against-bound"]
    assert edge.about == "learning_rate"
    assert "upper bound 0.1" in edge.seen
    alarms = 0
    for seed in range(10):
        draw = random.Random(seed)
        flat = study_of(lambda _c, draw=draw: draw.random(), trials=30, seed=seed + 1)
        alarms += "presses-against-bound" in ids(diagnose(shipped().diagnoses, study=flat))
    # Each study alarms with at most 0.05 by its own chance test: three or more of ten have a probability of 1.2 %.
    assert alarms <= 2


def test_a_fraction_that_ends_at_one_is_not_widened() -> None:
    space = SearchSpace(parameters={"subsample": Float(0.3, 1.0), "eta": Float(0.01, 0.3, log=True)})
    draw = random.Random(0)
    trials = tuple(
        Tried(n, c, "completed", -c["subsample"])
        for n in range(60)
        for c in [{"subsample": draw.uniform(0.3, 1), "eta": 0.01 + draw.random() / 4}]
    )
    assert "presses-against-bound" not in ids(diagnose(shipped().diagnoses, study=Study(trials, "minimize", space)))


def test_many_failures_and_the_rate_next_to_them_are_found() -> None:
    study = study_of(lambda c: None if log10(c, "learning_rate") > -2.2 else -log10(c, "learning_rate"))
    found = diagnose(shipped().diagnoses, study=study)
    assert {"many-fail", "rate-next-to-failures"} <= ids(found)
    assert "diverged" in next(f.seen for f in found.findings if f.id == "many-fail")


def test_a_default_that_fails_silences_the_share_of_failures() -> None:
    study = study_of(lambda _c: None, trials=12, default=0)
    assert ids(diagnose(shipped().diagnoses, study=study)) == {"default-fails"}


def test_what_does_not_matter_is_told_and_what_matters_is_not() -> None:
    def score(c: dict[str, object]) -> float:
        return (log10(c, "learning_rate") + 3) ** 2 + 0.5 * abs(math.log2(float(c["width"])) - 6) + (0.5 if c["optimizer"] == "sgd" else 0)  # type: ignore[arg-type]

    found = diagnose(shipped().diagnoses, study=study_of(score, 200))
    idle = {f.about for f in found.findings if f.id in ("does-not-matter", "flat")}
    assert "learning_rate" not in idle
    assert "noise" in idle


def test_a_ridge_is_found_and_independent_ones_are_not() -> None:
    ridge = study_of(lambda c: abs(log10(c, "learning_rate") + log10(c, "weight_decay") + 6.5), 200)
    found = [f for f in diagnose(shipped().diagnoses, study=ridge).findings if f.id == "ridge"]
    assert [f.about for f in found] == ["learning_rate, weight_decay"]
    bowl = study_of(lambda c: (log10(c, "learning_rate") + 3) ** 2 + (log10(c, "weight_decay") + 3) ** 2, 200)
    assert "ridge" not in ids(diagnose(shipped().diagnoses, study=bowl))


def crossing(slow_is_good: bool, trials: int = 30, *, stopped: int = 20) -> Study:
    """Trials whose early scores rank them as the last ones do, or the other way round."""
    tried = []
    for number in range(trials):
        speed = 0.4 + 0.6 * random.Random(number).random()
        end = speed if slow_is_good else 1 - speed
        steps = tuple((s, end + 2 * math.exp(-10 * speed * s / 27)) for s in range(1, 28))
        tried.append(Tried(number, {"speed": speed}, "completed", steps[-1][1], steps=steps))
    short = [Tried(trials + n, {"speed": 0.5}, "pruned", 1.0, steps=((3, 1.0),)) for n in range(stopped)]
    return Study((*tried, *short), "minimize", SearchSpace(parameters={"speed": Float(0.0, 1.0)}), prunes=True)


def test_a_fidelity_that_misleads_is_told_from_one_that_ranks() -> None:
    assert "fidelity-misleads" in ids(diagnose(shipped().diagnoses, study=crossing(slow_is_good=True)))
    assert "fidelity-misleads" not in ids(diagnose(shipped().diagnoses, study=crossing(slow_is_good=False)))


def test_pruning_that_stops_nearly_all_or_hardly_any_is_told() -> None:
    assert "pruning-too-hard" in ids(diagnose(shipped().diagnoses, study=crossing(False, 5, stopped=95)))
    assert "pruning-inert" in ids(diagnose(shipped().diagnoses, study=crossing(False, 95, stopped=5)))
    assert not ids(diagnose(shipped().diagnoses, study=crossing(False, 40, stopped=60))) & {"pruning-inert", "pruning-too-hard"}


def test_ties_within_the_noise_of_splits_are_told() -> None:
    def scored(number: int, level: float) -> Tried:
        scores = tuple(level + random.Random(100 * number + f).gauss(0, 0.05) for f in range(5))
        return Tried(number, {"noise": float(number)}, "completed", sum(scores) / 5, scores=scores)

    space = SearchSpace(parameters={"noise": Float(0.0, 50.0)})
    tied = Study(tuple(scored(n, 0.5) for n in range(20)), "minimize", space, default=0)
    assert ids(diagnose(shipped().diagnoses, study=tied)) & {"tie", "noise-decides"}
    clear = Study((scored(0, 0.9), *(scored(n, 0.9) for n in range(1, 20)), scored(20, 0.2)), "minimize", space, default=0)
    assert not ids(diagnose(shipped().diagnoses, study=clear)) & {"tie", "noise-decides"}


def test_unseen_rows_that_score_much_worse_are_told() -> None:
    trial = Tried(0, {}, "completed", 0.3, scores=(0.3, 0.31, 0.29))
    for heldout, expected in ((0.5, True), (0.31, False)):
        study = Study((trial,), "minimize", validation=(0.3, 0.31, 0.29, 0.3), heldout=heldout)
        assert ("worse-on-unseen-rows" in ids(diagnose(shipped().diagnoses, study=study))) is expected


def test_a_perfect_score_beside_a_suspect_feature_is_a_leak() -> None:
    trial = Tried(0, {}, "completed", 0.9999)
    assert ids(diagnose(shipped().diagnoses, study=Study((trial,), "maximize", leak="paid_on"))) == {"leak"}
    assert ids(diagnose(shipped().diagnoses, study=Study((trial,), "maximize", leak=""))) == set()


def test_what_was_done_about_a_finding_is_told_with_it() -> None:
    notes = ["6 of the best 10 trials press against the upper bound 0.1 of learning_rate: it becomes 1."]
    found = diagnose(shipped().diagnoses, study=study_of(lambda c: -log10(c, "learning_rate")), notes=notes)
    (edge,) = [f for f in found.findings if f.id == "presses-against-bound"]
    assert edge.done == notes[0]


def test_an_entry_with_a_fault_says_all_of_them() -> None:
    entry = Diagnosis.model_validate(
        {
            "id": "x", "title": "X", "about": "curve", "level": "hint", "seen": "s", "cause": "c", "cure": "c", "source": "s",
            "when": [{"fact": "pair.chance", "below": 1}],
            "example": [{"given": {"pair.chance": 0.5}, "verdict": "fails"}],
        }
    )  # fmt: skip
    assert entry.faults() == (
        "pair.chance does not belong to a curve",
        "example 1 says fails, the conditions say holds",
        "no example stops short of pair.chance alone",
    )


def test_figures_read_well() -> None:
    assert show("curve.rise_ratio", 0.237) == "24 %"
    assert show("curve.rise_ratio", 0.0123) == "1.2 %"
    assert show("study.trials", 1200) == "1,200"
    assert show("parameter.name", "lr") == "lr"
