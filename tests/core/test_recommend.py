"""The plan: the article's branches, promises that hold whatever the facts, and what a user's word does."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.core.derived import situation_of
from advisor.core.errors import CannotRunError, InputError, RulebookError
from advisor.core.facts import Answers, Dataset, Facts, Goal, Measured, Task, Unknown
from advisor.core.plan import Plan, Strategy
from advisor.core.predicates import Verdict
from advisor.core.recommend import recommend
from tests.fakes import facts as situations
from tests.fakes.facts import SITUATIONS, facts, hardware, table, unknown_hardware
from tests.fakes.rulebooks import EVERY_ENGINE, shipped, with_choices, with_regularisers

GONE = Unknown(reason="lost for the test")


def plan_of(given_facts: Facts) -> Plan:
    return recommend(given_facts, shipped())


# ------------------------------------------------------------------------------------------- the article's five branches


@pytest.mark.parametrize("engines", [None, EVERY_ENGINE], ids=["engines of this version", "every engine"])
def test_few_dimensions_a_small_table_and_a_processor_get_a_grid(engines: tuple[str, ...] | None) -> None:
    given_facts = situations.laptop_small_table(model="logistic_regression")
    if engines:
        given_facts = given_facts.model_copy(update={"engines": engines})
    plan = plan_of(given_facts)
    assert plan.strategy is Strategy.GRID
    assert [s.name for s in plan.stages] == ["pilot", "coarse", "fine", "confirm"]
    assert plan.stages[1].engine == "sklearn.model_selection.GridSearchCV"


def test_a_quick_answer_gets_random_draws_and_at_most_sixty() -> None:
    plan = plan_of(situations.laptop_mixed_table(goal="quick").model_copy(update={"engines": EVERY_ENGINE}))
    assert plan.strategy is Strategy.RANDOM
    assert plan.budget.trials <= 60
    assert plan.forecast.trials <= 60
    assert next(r for r in plan.rejected if r.strategy is Strategy.TPE).failed == ("a rule before it won: random-when-quick",)


def test_an_accelerator_with_a_limited_budget_gets_hyperband_or_pruned_tpe(tmp_path: Path) -> None:
    book = with_choices(tmp_path)
    wishes = situations.one_gpu_images(model="branching", budget_seconds=6 * 3600.0)
    assert recommend(wishes.model_copy(update={"engines": EVERY_ENGINE}), book).strategy is Strategy.HYPERBAND
    today = recommend(wishes.model_copy(update={"engines": tuple(e for e in wishes.engines if e != "hyperband")}), book)
    assert today.strategy is Strategy.TPE
    assert (today.pruner.name, today.pruner.resource) == ("median", "epoch")


def test_a_cluster_and_a_schedule_get_population_based_training() -> None:
    plan = plan_of(situations.ray_cluster().model_copy(update={"engines": EVERY_ENGINE}))
    assert plan.strategy is Strategy.PBT
    assert set(plan.space.free) == {"lr", "dropout", "weight_decay"}, "what fixes the shape of the network is held"


def test_research_with_many_regularisers_gets_hypergradients(tmp_path: Path) -> None:
    book = with_regularisers(tmp_path)
    wishes = situations.one_gpu_images(model="layerwise", goal="research", budget_seconds=4 * 3600.0)
    assert recommend(wishes.model_copy(update={"engines": EVERY_ENGINE}), book).strategy is Strategy.HYPERGRADIENT
    assert recommend(wishes, book).strategy is not Strategy.HYPERGRADIENT


# ------------------------------------------------------------------------------------------------- whatever the facts are


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("budget", [5.0, 30.0, 60.0, 600.0, 1e5])
def test_a_plan_keeps_its_promises_in_every_situation(name: str, budget: float) -> None:
    keep_promises(SITUATIONS[name](budget_seconds=budget))


def keep_promises(given_facts: Facts) -> Plan:
    plan = plan_of(given_facts)
    b = plan.budget
    assert math.isclose(
        b.startup_seconds + b.pilot_seconds + b.search_seconds + b.confirm_seconds + b.refit_seconds, b.seconds, abs_tol=1e-3
    )
    assert min(b.startup_seconds, b.pilot_seconds, b.search_seconds, b.confirm_seconds, b.refit_seconds) >= 0
    cpus = given_facts.hardware.cpu_count
    assert plan.envelope.workers * plan.envelope.threads_per_worker <= (1 if isinstance(cpus, Unknown) else cpus)
    assert plan.forecast.seconds_p50 <= plan.forecast.seconds_p90 <= b.seconds
    assert plan.strategy in given_facts.engines
    assert {r.strategy for r in plan.rejected} == set(Strategy) - {plan.strategy}
    assert all(r.failed for r in plan.rejected)
    assert plan.family == plan.shortlist[0].family
    assert given_facts.answers.model != "auto" or any(shipped().families[c.family].is_linear for c in plan.shortlist)
    for candidate in plan.shortlist:
        assert candidate.starts[0] == candidate.space.default()
        assert [f for s in candidate.starts for f in candidate.space.faults(s)] == []
    if plan.budget.trials_cap is not None:
        assert plan.forecast.trials <= max(plan.budget.trials_cap, 2)
    told = {e.field for e in plan.evidence}
    assert fields_of(plan) <= told, fields_of(plan) - told
    assert all(e.because and e.source and e.rule for e in plan.evidence)
    assert Plan.from_mapping(plan.to_mapping()) == plan
    return plan


def fields_of(plan: Plan) -> set[str]:
    """Every field that a reader may ask about."""
    out = {
        "target",
        "task",
        "features",
        "dropped",
        "metric",
        "direction",
        "strategy",
        "family",
        "shortlist",
        "forecast",
        "starts",
        "fit_seconds",
    }
    for part in ("validation", "budget", "envelope", "pruner"):
        out |= {f"{part}.{name}" for name in type(getattr(plan, part)).model_fields}
    out |= {f"stages.{i}" for i in range(len(plan.stages))} | {f"sampler.{name}" for name in plan.sampler}
    for name, parameter in plan.space.items():
        out |= {f"space.{name}.{bound}" for bound in ("low", "high", "choices", "default") if hasattr(parameter, bound)}
    return out | {f"fixed.{name}" for name in plan.candidate.fixed}


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    maybe = st.one_of(st.just(GONE), st.none())
    machine = hardware(cpu_count=draw(st.integers(1, 128)), memory_available_bytes=draw(st.integers(10**8, 10**12)))
    lost = {n: GONE for n in ("cpu_count", "memory_available_bytes", "gpus", "torch_device", "cluster_slots") if draw(maybe) is not None}
    machine = machine.model_copy(
        update={**lost, "cluster_slots": draw(st.sampled_from([0, 8, 100])) if "cluster_slots" not in lost else GONE}
    )
    task = draw(st.sampled_from(list(Task)))
    classes = 2 if task is Task.BINARY else draw(st.integers(3, 30))
    data = table(
        rows=draw(st.sampled_from([5, 19, 20, 60, 499, 500, 2000, 9999, 30_000, 10**6])),
        numeric=draw(st.integers(0, 300)),
        category=draw(st.integers(0, 30)),
        text=draw(st.integers(0, 2)),
        task=task,
        classes=classes,
        minority_ratio=draw(st.floats(0.0005, 1 / classes)) if task is not Task.REGRESSION else None,
        has_heavy_tail=draw(st.booleans()) and task is Task.REGRESSION,
        image_side=draw(st.sampled_from([0, 8])),
    )
    answers = Answers(
        goal=draw(st.sampled_from(list(Goal))),
        budget_seconds=draw(st.floats(0.5, 1e6)),
        trials=draw(st.one_of(st.none(), st.integers(1, 5000))),
        model=draw(st.sampled_from(["auto", "auto", *shipped().families])),
        strategy=draw(st.sampled_from(["auto", "auto", "auto", *Strategy])),
        workers=draw(st.one_of(st.none(), st.none(), st.integers(1, 64))),
    )
    return Facts(hardware=machine, data=data, answers=answers)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_facts())
def test_random_facts_give_a_plan_or_a_declared_refusal(given_facts: Facts) -> None:
    try:
        plan = recommend(given_facts, shipped(), flips=False)
    except RulebookError:
        raise
    except (InputError, CannotRunError) as error:
        assert error.what
        assert error.cure, "a refusal names its cure"
        return
    assert plan.strategy in given_facts.engines
    b = plan.budget
    assert math.isclose(
        b.startup_seconds + b.pilot_seconds + b.search_seconds + b.confirm_seconds + b.refit_seconds, b.seconds, rel_tol=1e-6, abs_tol=2e-3
    )
    cpus = given_facts.hardware.cpu_count
    if not isinstance(cpus, Unknown):
        assert plan.envelope.workers * plan.envelope.threads_per_worker <= cpus
    assert plan.validation.folds >= 1
    if given_facts.data.task is not Task.REGRESSION:
        development = given_facts.data.rarest_class_rows * (1 - plan.validation.heldout_ratio)
        assert plan.validation.folds <= max(2, development + 1)


@pytest.mark.parametrize("name", ["laptop_small_table", "one_gpu_images", "nothing_known"])
def test_losing_a_fact_never_settles_a_rule(name: str) -> None:
    whole = situation_of(SITUATIONS[name]())
    for rule in shipped().rules:
        before = rule.verdict(whole)
        for predicate in rule.when:
            after = rule.verdict(whole.with_values({predicate.fact: GONE}))
            assert after is not Verdict.HOLDS
            assert before is not Verdict.UNKNOWN or after is Verdict.UNKNOWN


@pytest.mark.parametrize("field", ["cpu_count", "memory_available_bytes", "torch_device"])
def test_an_unknown_reading_never_widens_the_envelope(field: str) -> None:
    known = plan_of(situations.one_gpu_images())
    lost = plan_of(
        situations.one_gpu_images().model_copy(update={"hardware": situations.one_gpu_images().hardware.model_copy(update={field: GONE})})
    )
    total = known.envelope.workers * known.envelope.threads_per_worker
    if field != "torch_device":
        assert lost.envelope.workers * lost.envelope.threads_per_worker <= total
    assert lost.envelope.device in (known.envelope.device, "cpu")


def test_an_unknown_fact_that_a_rule_needed_is_listed_with_its_cure() -> None:
    plan = plan_of(facts(unknown_hardware(), table(rows=20_000)))
    lost = {q.fact: q for q in plan.open}
    assert "hardware.has_accelerator" in lost
    assert lost["hardware.has_accelerator"].cure == "Allow reading /proc."
    assert "shortlist-large-classes-with-an-accelerator" in lost["hardware.has_accelerator"].rules


SCRIPT = """
from advisor.core.recommend import recommend
from tests.fakes.facts import SITUATIONS
from tests.fakes.rulebooks import shipped
print(recommend(SITUATIONS[{!r}](), shipped()).hash)
"""


def test_two_processes_give_the_same_bytes() -> None:
    name = "laptop_mixed_table"
    runs = [subprocess.run([sys.executable, "-c", SCRIPT.format(name)], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout == plan_of(SITUATIONS[name]()).hash + "\n"


# ------------------------------------------------------------------------------------------------------ what a user says


def test_what_the_user_says_wins_and_is_marked() -> None:
    plan = plan_of(
        situations.laptop_small_table(metric="roc_auc", model="hist_gradient_boosting", workers=2, trials=30, freeze={"max_features": 0.5})
    )
    by_field = {e.field: e.rule for e in plan.evidence}
    for field in ("metric", "family", "envelope.workers", "budget.trials_cap", "space.max_features.low"):
        assert by_field[field] == "answer", field
    assert (plan.metric, plan.family, plan.envelope.workers, plan.budget.trials_cap) == ("roc_auc", "hist_gradient_boosting", 2, 30)
    assert "max_features" not in plan.space.free
    assert all(s["max_features"] == 0.5 for s in plan.starts)


def test_an_unwise_strategy_is_refused_and_can_be_forced() -> None:
    wish = {"model": "hist_gradient_boosting", "strategy": "grid"}
    with pytest.raises(CannotRunError, match=r"4 numeric dimensions, at most 3"):
        plan_of(situations.laptop_small_table(**wish))
    forced = plan_of(situations.laptop_small_table(**wish, force=True))
    assert forced.strategy is Strategy.GRID
    assert any("4 numeric dimensions" in f for f in forced.forced)


@pytest.mark.parametrize("force", [False, True])
def test_an_impossible_strategy_cannot_be_forced(force: bool) -> None:
    with pytest.raises(CannotRunError, match="no engine of this version runs pbt"):
        plan_of(situations.one_gpu_images(strategy="pbt", force=force))


def test_a_strategy_that_is_merely_second_choice_is_honoured() -> None:
    assert plan_of(situations.laptop_small_table(strategy="tpe")).strategy is Strategy.TPE


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"model": "hist_gradient"}, "Did you mean 'hist_gradient_boosting'"),
        ({"metric": "rocauc"}, "Did you mean 'roc_auc'"),
        ({"strategy": "tpee"}, "Did you mean 'tpe'"),
        ({"freeze": {"max_leaf_node": 3}, "model": "hist_gradient_boosting"}, "Did you mean 'max_leaf_nodes'"),
        ({"freeze": {"max_leaf_nodes": 3.5}, "model": "hist_gradient_boosting"}, "a whole number from 3 to"),
        ({"drop": ("x99",)}, "no column 'x99'"),
        ({"target": "yy"}, "Did you mean 'y'"),
        ({"group": "y"}, "the target 'y' cannot be used there"),
    ],
)
def test_a_wrong_answer_is_named_with_its_cure(wishes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_of(situations.laptop_small_table(**wishes))


def test_an_unknown_target_is_asked_for() -> None:
    with pytest.raises(InputError, match="--target"):
        plan_of(facts(data=table(target=Unknown(reason="two columns look alike"))))


def test_a_time_column_gives_forward_chains_and_is_no_feature() -> None:
    plan = plan_of(situations.time_ordered_table(time="stamp"))
    assert plan.validation.scheme == "time"
    assert plan.validation.repeats == 1
    assert "stamp" not in plan.features


def test_a_group_column_keeps_entities_whole_and_is_no_feature() -> None:
    plan = plan_of(situations.grouped_table(group="patient"))
    assert plan.validation.scheme == "stratified_group"
    assert "patient" in plan.dropped
    assert any("patient" in a.text for a in plan_of(situations.grouped_table()).advice), "unasked, it is warned about"


def test_few_groups_mean_few_folds() -> None:
    given_facts = situations.grouped_table(group="patient")
    few = given_facts.model_copy(update={"data": given_facts.data.model_copy(update={"groups": 4})})
    assert plan_of(few).validation.folds == 3


def test_a_rare_class_in_a_small_table_gets_two_folds_repeated_and_a_linear_model() -> None:
    plan = plan_of(situations.six_rows_of_a_class())
    assert (plan.validation.folds, plan.validation.repeats) == (2, 3)
    assert [c.family for c in plan.shortlist] == ["logistic_regression"]
    assert any(a.rule == "caution-few-rows-of-a-class" for a in plan.advice)


@pytest.mark.parametrize(
    "data",
    [table(rows=300, classes=1, minority_ratio=1.0), table(rows=12), table(rows=300, minority_ratio=0.005)],
    ids=["one class", "12 rows", "one row"],
)
def test_no_legal_validation_says_what_would_make_one(data: Dataset) -> None:
    with pytest.raises(CannotRunError, match=r"no legal validation.*Bring"):
        plan_of(facts(data=data))


def test_a_measured_fit_time_replaces_the_estimate_and_leaves_the_splits_alone() -> None:
    given_facts = situations.laptop_mixed_table(budget_seconds=60.0)
    before = plan_of(given_facts)
    measured = (Measured(family=before.family, fit_seconds=2.345),)
    answers = given_facts.answers.model_copy(update={"model": before.family})
    after = plan_of(given_facts.model_copy(update={"measured": measured, "answers": answers}))
    assert after.candidate.is_measured
    assert after.candidate.fit_seconds == 2.3, "two significant digits"
    assert after.validation == before.validation
    assert after.budget.trials < before.budget.trials


def test_more_memory_never_shrinks_the_workers() -> None:
    sizes = [10**8, 10**9, 4 * 10**9, 10**10, 10**12]
    workers = [plan_of(facts(hardware(cpu_count=16, memory_available_bytes=m), table(rows=10**6))).envelope.workers for m in sizes]
    assert workers == sorted(workers)


def test_flips_say_at_which_budget_the_strategy_changes() -> None:
    given_facts = situations.laptop_mixed_table(budget_seconds=60.0)
    plan = plan_of(given_facts)
    strategy = next(e for e in plan.evidence if e.field == "strategy")
    flips = [f for f in strategy.flips if f.fact == "answers.budget_seconds"]
    assert flips
    for flip in flips:
        over = given_facts.model_copy(
            update={
                "answers": given_facts.answers.model_copy(update={"budget_seconds": flip.becomes * (1.01 if flip.becomes > 60 else 0.99)})
            }
        )
        assert str(plan_of(over).strategy) == flip.then
