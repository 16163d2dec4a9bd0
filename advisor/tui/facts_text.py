"""What was read of the data and the machine, and a plan in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from advisor.report.wording import between, shown
from advisor.tui.frame import fit, lines

if TYPE_CHECKING:
    from advisor.core.facts import Facts
    from advisor.core.plan import Plan


def headline(plan: Plan) -> str:
    """The plan in one line: strategy, pruner, trials, time."""
    pruner = "" if plan.pruner.name == "none" else f" + {plan.pruner.name} pruner"
    when = between(plan.forecast.seconds_p50, plan.forecast.seconds_p90)
    return f"{plan.strategy.value}{pruner}, ~{plan.forecast.trials} trials, done in {when}"


def facts_text(facts: Facts) -> Content:
    """What was read of the table and the machine, a line each."""
    from advisor.core.facts import Unknown

    data, machine, own = facts.data, facts.hardware, facts.objective
    kinds = [
        (data.numeric_columns, "numeric"),
        (data.category_columns, "category"),
        (data.date_columns, "date"),
        (data.text_columns, "text"),
    ]
    memory = "unknown" if isinstance(machine.memory_available_bytes, Unknown) else f"{machine.memory_available_bytes / 2**30:.1f} GiB free"
    cpus = "unknown" if isinstance(machine.cpu_count, Unknown) else f"{machine.cpu_count} CPU"
    gpus = "unknown GPU" if isinstance(machine.gpus, Unknown) else ", ".join(shown(g.name, longest=40) for g in machine.gpus) or "no GPU"

    def row(label: str, text: str) -> Content:
        return Content.assemble((fit(label, 10), "$quiet"), text)

    if own is not None:
        steps = "one measurement a trial" if own.fidelity is None else f"{own.fidelity.name} {own.fidelity.low} to {own.fidelity.high}"
        names = ", ".join(own.space.parameters) or "told as it runs"
        return lines(
            [
                row("Objective", f"{shown(own.name)}, {own.direction}d"),
                row("Space", shown(names, longest=200)),
                row("Steps", steps),
                row("Machine", f"{cpus}, {memory}, {gpus}"),
            ]
        )
    out = [
        row("Rows", f"{data.rows:,}"),
        row("Features", ", ".join(f"{n} {name}" for n, name in kinds if n) or "none"),
        row("Missing", f"{data.missing_ratio:.1%}"),
    ]
    if data.classes:
        out.append(row("Classes", f"{data.classes}, the rarest {data.minority_ratio:.1%} ({data.rarest_class_rows:,} rows)"))
    if data.leaks:
        out.append(row("Leaks", ", ".join(shown(leak.column, longest=40) for leak in data.leaks) + " (suspected)"))
    out.append(row("Machine", f"{cpus}, {memory}, {gpus}"))
    return lines(out)
