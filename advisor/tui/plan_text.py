"""Why a row of the plan is as it is: rule, facts, source, and the nearest change that would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from advisor.core.lint import Finding
from advisor.core.plan import Evidence, Plan
from advisor.report.wording import configuration, duration, gibibytes, setting, shown
from advisor.tui.frame import fit, heading, lines, muted
from advisor.tui.plan_rows import Row


def evidence_of(plan: Plan, row: Row) -> tuple[Evidence, ...]:
    """The evidence of a row: of its own field first, of what it lies in only where it has none of its own."""
    for field in row.fields if row.key.startswith("space.") else ():
        own = tuple(x for x in plan.evidence if x.field == field or x.field.startswith(field + "."))
        if own:
            return own
    if row.key.startswith("space."):
        return ()
    exact = {f.removesuffix("=") for f in row.fields}
    inside = tuple(f + "." for f in row.fields if not f.endswith("="))
    return tuple(x for x in plan.evidence if x.field in exact or x.field.startswith(inside))


def still_fields(plan: Plan, row: Row) -> tuple[str, ...]:
    """The fields of a row that a rule set and no near change of one fact would change."""
    return tuple(e.field for e in evidence_of(plan, row) if not e.flips and e.rule not in ("answer", "computed"))


def why_text(
    plan: Plan, row: Row, *, findings: Sequence[Finding] = (), lesson: str = "", farther: Mapping[str, Sequence[str]] | None = None
) -> Content:
    """Why a row is as it is, what would change it, and for the strategy why not the others.

    `lesson` is what the hyperparameter of the row does when it is too small and too large; `farther` what it takes to change the
    fields that nothing near does, as far as it was looked for.
    """
    kind, _, rest = row.key.partition(".")
    if kind == "advice":
        advice = plan.advice[int(rest)]
        return lines([shown(advice.text), "", _tagged("Rule", advice.rule), _tagged("Source", advice.source)])
    if kind == "open":
        question = plan.open[int(rest)]
        return lines(
            [
                Content.styled(f"{shown(question.fact)} is not known", "bold"),
                shown(question.reason),
                "",
                _tagged("Cure", question.cure or "none"),
                _tagged("Passed over", ", ".join(question.rules)),
            ]
        )
    out: list[Content | str] = []
    if kind == "family":
        candidate = next(c for c in plan.shortlist if c.family == rest)
        out += [_tagged("Tried first", configuration(candidate.starts[0]) if candidate.starts else "its default")]
        if rest != plan.family:
            out += [_tagged("Space", ", ".join(candidate.space.free) or "nothing to search")]
        if len(candidate.starts) > 1:
            out.append(muted(f"and {len(candidate.starts) - 1} more starting configurations"))
        out.append("")
    if kind == "target" and plan.dropped:
        out += (
            [heading("Not used")] + [Content.assemble((fit(shown(n), 20), "bold"), " ", shown(r)) for n, r in plan.dropped.items()] + [""]
        )
    if kind == "stages":
        stage = next(s for s in plan.stages if s.name == rest)
        out += [
            _tagged("Proposes", stage.strategy.value),
            _tagged("Executed by", stage.engine),
            _tagged("Moves", ", ".join(stage.space) or "nothing"),
            "",
        ]
    for finding in findings:
        if kind == "space" and finding.parameter == rest:
            out.append(Content.assemble(("! ", "bold $text-warning"), (shown(finding.says), "bold"), f" {shown(finding.cure)}"))
            out += [_tagged("Source", finding.source), ""]
    if lesson:
        out += [_tagged("Lesson", lesson), ""]
    found = evidence_of(plan, row)
    for item in found:
        out.append(Content.assemble((shown(item.field), "bold $accent"), " = ", (_value(item.value, item.field), "bold")))
        out.append(shown(item.because, lines=True))
        if item.facts:
            out.append(_tagged("Facts", ", ".join(f"{k} {_value(v, k)}" for k, v in item.facts.items())))
        out.append(_tagged("Rule", item.rule))
        if item.source:
            out.append(_tagged("Source", item.source))
        for flip in item.flips:
            out.append(
                Content.assemble(
                    ("↷ ", "bold $text-warning"),
                    f"{shown(flip.fact)} {_value(flip.now, flip.fact)} → {_value(flip.becomes, flip.fact)}: ",
                    (shown(flip.then), "bold"),
                )
            )
        for line in (farther or {}).get(item.field, ()):
            out.append(Content.assemble(("↷ ", "bold $text-warning"), shown(line)))
        if farther is not None and item.field in farther and not farther[item.field]:
            out.append(muted("No comparison of facts decides it."))
        if item.field == "strategy" and plan.stability is not None:
            near = plan.stability.is_near
            out.append(Content.assemble(("! " if near else "≈ ", "bold $text-warning" if near else "$quiet"), shown(plan.stability.text)))
        out.append("")
    if not found and kind not in {"stages", "family"}:
        out += [muted("Follows from the rows above; no rule of its own."), ""]
    if kind == "strategy" and plan.rejected:
        out.append(heading("Why not"))
        for rejected in plan.rejected:
            out.append(Content.assemble((fit(rejected.strategy.value, 14), "bold"), shown("; ".join(rejected.failed))))
    return lines(out)


def _tagged(label: str, text: str) -> Content:
    return Content.assemble((f"{label}  ", "$quiet"), shown(text, lines=True))


def _value(value: Any, name: str = "") -> str:
    """A value as text; the unit is read from the end of its name."""
    if isinstance(value, dict):
        return shown(", ".join(f"{k} {_value(v, str(k))}" for k, v in value.items()), longest=160) or "none"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("_seconds") or name == "budget.seconds":
            return duration(float(value))
        if name.endswith("_bytes"):
            return gibibytes(value)
    return setting(value)
