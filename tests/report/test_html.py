"""The HTML report: complete in itself, safe whatever the data are called, and right for every kind of run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from advisor.core.events import ConfigChanged, Event, Measured, RunStarted, StageStarted, TrialFinished, TrialStarted, fold_all
from advisor.core.facts import Answers, Facts
from advisor.report.html import report_html
from advisor.report.html_told import Told
from advisor.session.outcomes import outcome_of
from advisor.session.reporting import weights
from tests.fakes import facts as named
from tests.fakes import journals

VOID = {"meta", "br", "img", "hr", "link", "input"}


class _Page(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, the text of each section, and whether tags match."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.section = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self.section = str(dict(attrs)["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.setdefault(self.section, []).append(data)

    def text(self, section: str | None = None) -> str:
        parts = [t for key, texts in self.texts.items() if section in (None, key) for t in texts]
        return " ".join(" ".join(parts).split())


def page_of(events: list[Event], *, facts: Facts | None = None, **more: Any) -> str:
    """The report of a recorded run."""
    state = fold_all(events)
    trials = [
        (t.config, t.value) for t in list(state.trials.values())[:120] if t.value is not None and t.family == "hist_gradient_boosting"
    ]
    space = journals.plan().space
    told = Told(
        name=str(more.pop("name", "customers-1114")),
        state=state,
        outcome=outcome_of("runs/customers-1114", state),
        facts=facts,
        importances=weights(trials, space, is_maximised=False, seed=0),
        importance_note="Measured over the finished trials.",
        written=journals.EPOCH,
        **more,
    )
    return report_html(told)


def renamed(events: list[Event], **changed: Any) -> list[Event]:
    """The same run under a plan with other fields."""
    return [e.model_copy(update={"plan": journals.plan(**changed).to_mapping()}) if isinstance(e, RunStarted) else e for e in events]


@pytest.fixture(scope="module")
def finished() -> str:
    return page_of(journals.finished(), facts=Facts(hardware=named.hardware(), data=named.table(), answers=Answers()))


def test_the_sections_stand_in_the_order_of_a_readers_questions(finished: str) -> None:
    keys = [a["id"] for tag, a in _Page(finished).elements if tag == "section"]
    assert keys == [
        "configuration",
        "score",
        "budget",
        "why",
        "importance",
        "curves",
        "trials",
        "failures",
        "warnings",
        "findings",
        "environment",
    ]


def test_the_verdict_is_one_sentence_and_stands_before_everything(finished: str) -> None:
    heading = re.search(r"<h1>(.*?)</h1>", finished, re.S)
    assert heading is not None
    assert (
        heading.group(1)
        == "Tuning paid: the tuned gradient boosting model beats the default settings by 7.9% in log loss on data it had never seen."
    )
    assert finished.index("<h1>") < finished.index("<section")


def test_nothing_is_asked_of_any_network_and_nothing_runs(finished: str) -> None:
    page = _Page(finished)
    assert not [tag for tag, _ in page.elements if tag in ("script", "link", "img", "iframe", "object", "embed", "form", "base")]
    told = [
        (n, v) for _, attrs in page.elements for n, v in attrs.items() if n in ("src", "href", "srcset", "action", "data", "xlink:href")
    ]
    assert told, "there are links within the page"
    assert all(n == "href" and str(v).startswith("#") for n, v in told)
    assert not [n for _, attrs in page.elements for n in attrs if n.startswith("on") or n == "style"]
    assert "url(" not in finished and "@import" not in finished
    policy = [a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_every_drawing_has_its_table_and_a_name_for_screen_readers(finished: str) -> None:
    figures = re.findall(r"<figure>(.*?)</figure>", finished, re.S)
    assert len(figures) >= 6
    for figure in figures:
        assert 'role="img" aria-label="' in figure
        table = re.search(r"<details>.*?<table>(.*)</table>", figure, re.S)
        assert table is not None and "<td" in table.group(1)


def test_the_held_out_score_stands_beside_the_defaults_with_its_interval(finished: str) -> None:
    text = _Page(finished).text("score")
    for figure in ("0.3134", "0.3402", "0.0268", "0.0121", "0.0403", "2,486"):
        assert figure in text


def test_the_reason_of_a_field_names_rule_facts_source_and_flip(finished: str) -> None:
    text = _Page(finished).text("why")
    assert "The space is mixed and 95 trials are affordable" in text
    assert "rule static-mixed-space · saw derived.trials = 95" in text
    assert "source: arXiv:2304.11127" in text
    assert "would be random if answers.budget_seconds were" in text
    assert "6 dimensions, at most 3" in text


def test_failures_are_told_by_cause_with_their_cure(finished: str) -> None:
    text = _Page(finished).text("failures")
    assert "the fit gave scores that are not finite" in text
    assert "Lower learning_rate, or freeze it." in text
    assert "invalid · 3 trials: 13, 26, 39" in text


def test_findings_say_what_was_seen(finished: str) -> None:
    assert "The best trials press against max_leaf_nodes = 255." in _Page(finished).text("findings")


NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'; DROP TABLE runs; --",
    "</style><svg onload=alert(3)>",
    "a\x1b[31mred\x07\x00",
    "\u202egnp.exe",
    "{{ 7 * 191 }}{% raw %}",
    "&lt;b&gt; & <b>",
    "]]>-->",
)


@pytest.mark.parametrize("nasty", NASTY)
def test_no_name_from_the_data_becomes_markup(nasty: str) -> None:
    """In the run's name, the data, the target, a column, a category, a hyperparameter, a cause, a note and a reason."""
    from advisor.core.events import Noted, TrialFailed
    from advisor.core.space import Choice, Float, SearchSpace

    space = SearchSpace(parameters={nasty: Float(0.1, 1.0, default=0.5), "kind": Choice([nasty, "plain"], default="plain")})
    candidate = journals.plan().shortlist[0].model_copy(update={"space": space, "starts": (space.default(),)})
    evidence = journals.plan().evidence[0].model_copy(update={"because": nasty, "facts": {nasty: nasty}, "source": nasty})
    plan = journals.plan(data=nasty, target=nasty, dropped={nasty: nasty}, shortlist=(candidate,), evidence=(evidence,))
    events: list[Event] = [RunStarted(run=nasty, plan=plan.to_mapping(), command=nasty)]
    for number in range(14):
        config = {nasty: 0.1 + number / 20, "kind": (nasty, "plain")[number % 2]}
        start = TrialStarted(
            elapsed=number, trial=number, stage="search", origin="proposal", family="hist_gradient_boosting", config=config
        )
        events += [start, TrialFinished(elapsed=number + 1, trial=number, value=0.3 + number / 100, seconds=1.0)]
    events += [
        TrialStarted(elapsed=15, trial=20, stage=nasty, origin="proposal", family="hist_gradient_boosting", config={nasty: 0.2}),
        TrialFailed(elapsed=16, trial=20, cause=nasty, cure=nasty, detail=nasty),
        Noted(elapsed=17, level="warning", text=nasty),
    ]
    data = named.table(target=nasty).model_copy(update={"source": nasty, "warnings": (nasty,)})
    page = page_of(events, name=nasty, repeat=nasty, facts=Facts(hardware=named.hardware(), data=data, answers=Answers()))
    seen = _Page(page)  # every tag closes what it opens
    assert not [tag for tag, _ in seen.elements if tag in ("script", "img", "b")]
    assert not [n for _, attrs in seen.elements for n in attrs if n.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page)
    assert "1337" not in seen.text()
    page.encode()


def test_credentials_are_struck_out_wherever_they_stand() -> None:
    events = renamed(journals.finished(), data="postgresql://…@host/db")
    noted = next(e for e in events if e.kind == "noted")
    events.insert(
        -1, noted.model_copy(update={"text": "read s3://me:hunter22@bucket/x?api_key=abc123def with Bearer abcdef.123456 and v3rys3cret"})
    )
    page = page_of(events, repeat="advisor run --command 'train.py --token tok_999888 --lr {lr}'", secrets=("v3rys3cret",))
    for secret in ("hunter22", "abc123def", "abcdef.123456", "v3rys3cret", "tok_999888"):
        assert secret not in page
    assert "bucket/x" in page and "--lr {lr}" in page


@pytest.mark.slow
def test_a_run_of_thousands_stays_small_and_says_what_is_left_out() -> None:
    page = page_of(journals.huge(5000))
    assert len(page.encode()) < 2 * 2**20
    text = _Page(page).text("trials")
    assert "The default and the best 299 trials; 4,700 more are in the run's journal" in text
    assert page.count("<circle") < 6000


def test_a_run_with_one_trial_under_way_says_that_it_is_not_over() -> None:
    page = _Page(page_of(journals.tiny()))
    assert "was interrupted and can go on; no trial has finished yet" in page.text()
    assert "go on with: advisor resume customers-1114" in page.text()
    assert "No trial finished: there is none." in page.text("configuration")


def test_the_default_shipped_is_told_as_such() -> None:
    text = _Page(page_of(journals.finished(shipped="default"))).text("")
    assert "Tuning did not pay here" in text


def test_a_run_that_ended_with_nothing_says_so() -> None:
    from advisor.core.events import RunFinished

    events = [
        *journals.opening(),
        RunFinished(elapsed=9.0, status="nothing_finished", reason="the budget of 9 s ended before any trial finished"),
    ]
    page = _Page(page_of(events))
    assert "There is no result: the time ran out before a single trial had finished." in page.text("")
    assert "the budget of 9 s ended before any trial finished" in page.text("")


def own_run(count: int = 12, *, steps: int = 6) -> list[Event]:
    """A run of an objective of the user's own, whose third trial changed its configuration on the way."""
    from advisor.core.plan import Strategy
    from advisor.core.space import Float, SearchSpace

    space = SearchSpace(parameters={"lr": Float(1e-4, 1e-1, log=True, default=1e-2)})
    candidate = journals.plan().shortlist[0].model_copy(update={"family": "objective", "space": space, "starts": ({"lr": 0.01},)})
    plan = journals.plan(
        task=None, metric="value", family="objective", shortlist=(candidate,), strategy=Strategy.PBT, target="", data="train:objective"
    )
    events: list[Event] = [RunStarted(run="own", plan=plan.to_mapping()), StageStarted(stage="search", strategy="pbt")]
    for number in range(count):
        at = 10.0 * number
        config = {"lr": 0.01 * (1 + number % 5)}
        start = TrialStarted(
            elapsed=at, trial=number, stage="search", origin="default" if number == 0 else "proposal", family="objective", config=config
        )
        events.append(start)
        best = 0.2 if number == 2 else 0.5 - number / 100
        for step in range(1, steps + 1):
            if number == 2 and step == 3:
                events.append(ConfigChanged(elapsed=at + step, trial=2, step=2, config={"lr": 0.003}, parent=1, reason="exploit"))
            events.append(Measured(elapsed=at + step, trial=number, step=step, value=best + 1 / step))
        events.append(TrialFinished(elapsed=at + 9, trial=number, value=best + 1 / steps, seconds=9.0))
    return events


def test_an_objective_of_ones_own_has_curves_a_schedule_and_no_held_out_score() -> None:
    page = _Page(page_of(own_run()))
    assert "as your own objective measures it" in page.text("") or "is still going" in page.text("") or "interrupted" in page.text("")
    assert "Your own objective validates by itself" in page.text("score")
    assert "It is a schedule" in page.text("configuration")
    assert "0.003" in page.text("configuration")
    assert any(a.get("aria-label") == "Learning curves of 12 trials" for _, a in page.elements)
    assert any(a.get("aria-label") == "lr over the training" for _, a in page.elements)


def test_importance_finds_what_the_scores_follow_and_gives_the_same_figures_again() -> None:
    """Scores follow the rate alone, so it must lead; 120 trials leave its share above a half."""
    from advisor.core.space import Float, SearchSpace

    space = SearchSpace(parameters={"rate": Float(0.0, 1.0), "idle": Float(0.0, 1.0)})
    trials = [({"rate": (i * 0.618) % 1, "idle": (i * 0.414) % 1}, abs((i * 0.618) % 1 - 0.3)) for i in range(120)]
    found = weights(trials, space, is_maximised=False, seed=0)
    assert found[0].name == "rate" and found[0].value > 0.5
    assert all(0 <= w.low <= w.value <= w.high <= 1 for w in found)
    assert found == weights(trials, space, is_maximised=False, seed=0)
    flipped = weights([(c, -v) for c, v in trials], space, is_maximised=True, seed=0)
    assert flipped == found


@pytest.mark.parametrize("events", [journals.tiny(), journals.running(), journals.finished(status="stopped"), own_run(1), own_run(40)])
def test_every_kind_of_run_gives_a_whole_page(events: list[Event]) -> None:
    page = page_of(events)
    seen = _Page(page)
    assert seen.open == []
    assert "nan" not in " ".join(str(v) for tag, a in seen.elements if tag in ("circle", "line", "path", "rect") for v in a.values())


def test_the_style_serves_light_dark_and_paper() -> None:
    style = (Path(__file__).parent.parent.parent / "advisor" / "report" / "templates" / "report.css").read_text()
    assert "prefers-color-scheme: dark" in style and "@media print" in style
    names = set(re.findall(r"var\((--[a-z-]+)\)", style)) - {"--tone", "--tone-soft"}
    tones = {"--tone", "--tone-soft"}
    light, dark = (set(re.findall(r"(--[a-z-]+):", part)) for part in style.split(":root {")[1:3])
    assert names == light - tones == dark - tones
