"""Rule files: read fast, every fault of every file at once, local rules over shipped ones."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from advisor.core.errors import CannotRunError, RulebookError
from advisor.core.plan import Strategy
from advisor.core.recommend import recommend
from advisor.rulebook.loading import load_rulebook, shipped_folder
from tests.fakes import facts as situations
from tests.fakes.rulebooks import shipped


def rule(**changed: str) -> str:
    """A sound tip with some lines exchanged; an empty line leaves the key out."""
    lines = {
        "id": '"many-rows"',
        "advise": '"Mind the rows."',
        "when": '[{ fact = "data.rows", at_least = 10 }]',
        "because": '"So it is."',
        "source": '"a test"',
        "example": '[{ given = { "data.rows" = 10 }, verdict = "holds" }]',
        **changed,
    }
    return "\n[[rule]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value)


def faults_of(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "tips.toml").write_text(text)
    with pytest.raises(RulebookError) as caught:
        load_rulebook(shipped_folder(), folder)
    return caught.value.faults


def test_the_shipped_rules_load_in_a_moment() -> None:
    load_rulebook(shipped_folder())
    began = time.process_time()
    book = load_rulebook(shipped_folder())
    assert time.process_time() - began < 0.3, "0.08 s of CPU where it was measured; the margin is for slower machines"
    assert set(book.strategies) == set(Strategy)
    assert len(book.families) == 16


@pytest.mark.parametrize(
    ("changed", "line", "message"),
    [
        ({"when": '[{ fact = "data.row", at_least = 10 }]'}, 5, r"unknown fact 'data.row'. Did you mean 'data.rows'?"),
        ({"when": '[{ fact = "answers.goal", is = "qick" }]'}, 5, "Did you mean 'quick'?"),
        ({"when": '[{ fact = "data.rows", at_least = "many" }]'}, 5, "expected a number"),
        ({"source": ""}, 2, "source is missing"),
        ({"because": ""}, 2, "because is missing"),
        ({"example": ""}, 2, "example is missing"),
        ({"example": '[{ given = { "data.rows" = 9 }, verdict = "holds" }]'}, 8, "says holds, the conditions say fails"),
        ({"example": '[{ given = { "data.rows" = 9 }, verdict = "hold" }]'}, 8, "Did you mean 'holds'?"),
        ({"sorce": '"x"'}, 2, "unknown key 'sorce'. Did you mean 'source'?"),
        ({"overrides": '["few-rows"]'}, 2, "overrides unknown rule 'few-rows'"),
        ({"advise": "", "set": '{ "validation.fold" = 3 }'}, 8, "unknown field 'validation.fold'. Did you mean 'validation.folds'?"),
        ({"advise": "", "set": '{ "validation.folds" = "3" }'}, 8, "needs a integer"),
        ({"advise": "", "recommend": '"tpee"'}, 8, "unknown strategy 'tpee'. Did you mean 'tpe'?"),
        ({"advise": "", "shortlist": '["svm"]'}, 2, "unknown family 'svm'"),
    ],
)
def test_a_fault_is_named_with_file_line_and_cure(tmp_path: Path, changed: dict[str, str], line: int, message: str) -> None:
    faults = faults_of(tmp_path, rule(**changed))
    assert any(message in f and f.startswith(f"{tmp_path.name}/tips.toml:{line}:") for f in faults), faults


def test_every_fault_of_every_file_is_reported_together(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("[[rule]\n")
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "odd.toml").write_text('[family]\nname = "odd"\ntitel = "Odd"\n')
    faults = faults_of(tmp_path, rule(source="") + rule(id='"second"', when='[{ fact = "data.row", below = 1 }]') + rule(id='"second"'))
    for part in ("broken.toml", "source is missing", "data.row", "used twice", "titel", "Did you mean 'title'?"):
        assert any(part in f for f in faults), part


def test_a_local_rule_takes_the_place_of_what_it_overrides(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        rule(
            id='"no-grid"',
            advise="",
            recommend='"random"',
            overrides='["grid-when-it-fits"]',
            when='[{ fact = "search.trials_per_grid", at_least = 1 }]',
        ).replace('"data.rows" = 10', '"search.trials_per_grid" = 1')
    )
    book = load_rulebook(shipped_folder(), tmp_path)
    facts = situations.laptop_small_table(model="logistic_regression")
    assert recommend(facts, shipped()).strategy is Strategy.GRID
    assert recommend(facts, book).strategy is Strategy.RANDOM
    ids = [r.id for r in book.strategy_rules]
    assert ids.index("no-grid") == [r.id for r in shipped().strategy_rules].index("grid-when-it-fits")
    assert book.hash != shipped().hash


def test_comments_and_layout_do_not_change_the_hash(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "tips.toml").write_text(rule())
    (tmp_path / "b" / "tips.toml").write_text("# a comment\n\n" + rule().replace(" = ", "   =  "))
    assert load_rulebook(shipped_folder(), tmp_path / "a").hash == load_rulebook(shipped_folder(), tmp_path / "b").hash


def test_two_rules_that_disagree_are_a_fault_of_the_rulebook(tmp_path: Path) -> None:
    one = {"advise": "", "when": '[{ fact = "data.rows", at_least = 10 }]'}
    both = rule(set='{ "metric" = "brier" }', **one) + rule(id='"other"', set='{ "metric" = "accuracy" }', **one)
    (tmp_path / "mine.toml").write_text(both)
    with pytest.raises(RulebookError, match="both hold and disagree on metric"):
        recommend(situations.laptop_small_table(), load_rulebook(shipped_folder(), tmp_path))


MEASURED = '{ effect = -0.04, interval = [-0.07, -0.01], tasks = 17, command = "make it", date = "2026-11-24", versions = "optuna 5" }'


def test_what_a_rule_was_measured_to_do_stands_beside_it_and_changes_no_plan(tmp_path: Path) -> None:
    for name, text in (("a", rule()), ("b", rule(evidence=MEASURED))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tips.toml").write_text(text)
    plain, measured = (load_rulebook(shipped_folder(), tmp_path / name) for name in "ab")
    found = measured.rule("many-rows")
    assert found is not None
    assert found.evidence is not None
    assert (found.evidence.effect, found.evidence.interval, found.evidence.tasks) == (-0.04, (-0.07, -0.01), 17)
    assert plain.hash == measured.hash


def test_a_measurement_that_lacks_its_date_is_a_fault(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, rule(evidence=MEASURED.replace('date = "2026-11-24", ', "")))
    assert len(faults) == 1
    assert "evidence: date" in faults[0]


# ------------------------------------------------------------------------- answers over local rules over shipped ones


def local(folder: Path, name: str, text: str) -> Path:
    """A folder `name` of local rules that holds `text`."""
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "mine.toml").write_text(text)
    return place


METRIC = {"advise": "", "when": '[{ fact = "data.rows", at_least = 10 }]'}


def test_a_local_rule_beats_the_shipped_ones_without_naming_them(tmp_path: Path) -> None:
    book = load_rulebook(shipped_folder(), local(tmp_path, "a", rule(set='{ "metric" = "brier" }', **METRIC)))
    facts = situations.laptop_small_table()
    assert recommend(facts, shipped()).metric == "log_loss"
    assert recommend(facts, book).metric == "brier"
    assert next(e.rule for e in recommend(facts, book).evidence if e.field == "metric") == "many-rows"


def test_the_rules_beside_the_project_beat_those_of_the_user(tmp_path: Path) -> None:
    home = local(tmp_path, "home", rule(set='{ "metric" = "brier" }', **METRIC))
    here = local(tmp_path, "here", rule(id='"here"', set='{ "metric" = "accuracy" }', **METRIC))
    assert recommend(situations.laptop_small_table(), load_rulebook(shipped_folder(), home, here)).metric == "accuracy"
    assert recommend(situations.laptop_small_table(), load_rulebook(shipped_folder(), here, home)).metric == "brier"


def test_an_answer_beats_every_rule(tmp_path: Path) -> None:
    book = load_rulebook(shipped_folder(), local(tmp_path, "a", rule(set='{ "metric" = "brier" }', **METRIC)))
    plan = recommend(situations.laptop_small_table(metric="accuracy"), book)
    assert plan.metric == "accuracy"
    assert next(e.rule for e in plan.evidence if e.field == "metric") == "answer"


def test_a_local_rule_that_does_not_hold_leaves_the_shipped_ones_in_force(tmp_path: Path) -> None:
    many = {"when": '[{ fact = "data.rows", at_least = 100000 }]', "example": '[{ given = { "data.rows" = 100000 }, verdict = "holds" }]'}
    book = load_rulebook(shipped_folder(), local(tmp_path, "a", rule(set='{ "metric" = "brier" }', **(METRIC | many))))
    assert recommend(situations.laptop_small_table(), book).metric == "log_loss"


def test_a_local_rule_of_the_same_id_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    tip = rule(id='"caution-few-rows"', advise='"Ours."', when='[{ fact = "data.rows", at_least = 10 }]')
    book = load_rulebook(shipped_folder(), local(tmp_path, "a", tip))
    assert [r.advise for r in book.tips if r.id == "caution-few-rows"] == ["Ours."]


def test_a_local_family_replaces_the_shipped_one_and_the_rules_in_its_file(tmp_path: Path) -> None:
    text = (shipped_folder() / "families" / "hist_gradient_boosting.toml").read_text().split("[[rule]]")[0]
    book = load_rulebook(shipped_folder(), local(tmp_path, "a", text.replace("default = 31", "default = 15")))
    assert book.families["hist_gradient_boosting"].space.default()["max_leaf_nodes"] == 15
    assert not any(r.adjust is not None and r.adjust.family == "hist_gradient_boosting" for r in book.adjustments)


def test_a_local_strategy_entry_cannot_do_without_what_the_strategy_requires(tmp_path: Path) -> None:
    entry = '[[strategy]]\nname = "asha"\nengine = "optuna.pruners.SuccessiveHalvingPruner"\nbecause = "We like it."\nsource = "a test"\n'
    book = load_rulebook(shipped_folder(), local(tmp_path, "a", entry))
    asha = Strategy.ASHA
    assert book.strategies[asha].requires == shipped().strategies[asha].requires
    assert book.strategies[asha].needs == ()


LIMIT = {"advise": "", "set": '{ "envelope.memory_ratio" = 0.95 }', "when": '[{ fact = "data.rows", at_least = 10 }]'}


def test_a_limit_of_safety_yields_to_a_local_rule_only_by_force_and_the_plan_says_so(tmp_path: Path) -> None:
    book = load_rulebook(shipped_folder(), local(tmp_path, "a", rule(**LIMIT)))
    machine = situations.hardware(cpu_count=64, memory_available_bytes=4 * situations.GIB)
    held = recommend(situations.facts(machine), book)
    forced = recommend(situations.facts(machine, force=True), book)
    assert held.envelope.workers == recommend(situations.facts(machine), shipped()).envelope.workers
    assert forced.envelope.workers > held.envelope.workers
    assert held.forced == ()
    assert any(f.startswith("envelope.memory_ratio: 0.95 by many-rows") for f in forced.forced)


def test_more_workers_than_processors_or_memory_need_force_and_the_plan_says_so() -> None:
    for machine in (situations.hardware(cpu_count=4), situations.hardware(cpu_count=64, memory_available_bytes=2 * situations.GIB)):
        with pytest.raises(CannotRunError, match="workers"):
            recommend(situations.facts(machine, workers=20), shipped())
        forced = recommend(situations.facts(machine, workers=20, force=True), shipped())
        assert forced.envelope.workers == 20
        assert any(f.startswith("envelope.workers: 20 workers") for f in forced.forced)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[nonsense]]\nid = "x"\n', "unknown key 'nonsense'"),
        ("rule = [1]\n", "rule 1 is no table"),
        (rule(advise="", set="3"), "set needs fields"),
        (rule(advise="", shortlist="3"), "shortlist needs a list"),
        (rule(overrides="3"), "overrides needs a list"),
        (rule(when="[3]"), "a condition is a table"),
        (rule(example="[3]"), "an example is a table"),
        (rule(example="[{ given = 3 }]"), "an example is a table"),
        ("a = " + "[" * 5000, "nested too deep"),
        ("a = " + "9" * 5000, "x.toml: "),
    ],
)
def test_a_file_of_the_wrong_shape_is_told_as_a_fault_of_that_file(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(RulebookError, match=r"x\.toml") as raised:
        load_rulebook(shipped_folder(), tmp_path)
    assert told in str(raised.value)


def test_an_empty_file_of_rules_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("# nothing yet\n")
    assert load_rulebook(shipped_folder(), tmp_path) == load_rulebook(shipped_folder())
