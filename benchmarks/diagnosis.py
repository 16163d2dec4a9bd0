"""How many planted faults `advisor diagnose` finds in the curves of networks trained wrongly, and how often it alarms on healthy ones.

Thresholds were chosen on the first three problems; the others were looked at once, afterwards. What was planted counts where it did
harm: a training that ends as well as its healthy twins is left out, and told of.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import torch

from advisor.core.diagnosis import diagnose
from advisor.core.diagnosis_curves import Curve
from advisor.core.rules import Rulebook
from advisor.rulebook.loading import load_rulebook
from benchmarks._planted import CALIBRATED_ON, FAULTS, REPORTED_ON, Trained, did_harm, planted


def views(one: Trained) -> dict[str, Curve]:
    """The same training as users report it: both losses and a simple model's score, the validation loss alone, the accuracy alone."""
    steps = tuple(float(s) for s in range(1, len(one.valid) + 1))
    out = {
        "both losses": Curve("it", steps, one.valid, one.train, reference=one.reference),
        "validation loss": Curve("it", steps, one.valid),
    }
    if one.accuracy:
        out["validation accuracy"] = Curve("it", steps, one.accuracy, direction="maximize")
    return out


def found_in(curve: Curve, book: Rulebook) -> set[str]:
    """Ids of the findings on `curve`."""
    return {f.id for f in diagnose(book.diagnoses, curves=[curve]).findings}


def tell(title: str, trained: Sequence[Trained], book: Rulebook) -> None:
    """Prints both tables of one half."""
    total, harmless, found, alarms, healthy = (Counter[str]() for _ in range(5))
    twins = {(o.problem, o.seed): [t for t in trained if (t.fault, t.problem, t.seed) == ("healthy", o.problem, o.seed)] for o in trained}
    for one in trained:
        if one.fault == "healthy":
            for view, curve in views(one).items():
                healthy[view] += 1
                alarms[view] += bool(found_in(curve, book))
        elif did_harm(one, twins[one.problem, one.seed]):
            total[one.fault] += 1
            found[one.fault] += bool(found_in(views(one)["both losses"], book) & set(FAULTS[one.fault][1]))
        else:
            harmless[one.fault] += 1
    print(f"{title}\n\n| planted fault | did no harm, left out | curves | found |\n| --- | --- | --- | --- |")
    for fault in FAULTS:
        print(f"| {fault} | {harmless[fault]} | {total[fault]} | {found[fault]} |")
    share = found.total() / max(1, total.total())
    print(f"| **all** | **{harmless.total()}** | **{total.total()}** | **{found.total()}** ({share:.1%}) |")
    print("\n| healthy curves, told by | curves | with a false alarm |\n| --- | --- | --- |")
    for view, count in healthy.items():
        print(f"| {view} | {count} | {alarms[view]} ({alarms[view] / count:.1%}) |")


def main(arguments: list[str] | None = None) -> int:
    """Always 0: the figures are for the reader."""
    parser = argparse.ArgumentParser(prog="diagnosis", description=__doc__)
    parser.add_argument("--groups", type=int, default=4, help="shapes of networks a problem")
    parser.add_argument("--seeds", type=int, default=8, help="splits a shape")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    book = load_rulebook()
    for title, names, first in (("Chosen on", CALIBRATED_ON, 0), ("Held back", REPORTED_ON, 200)):
        trained: list[Trained] = []
        for group in range(first, first + chosen.groups):
            for name in names:
                trained += planted(name, group, range(100 * group, 100 * group + chosen.seeds))
        tell(f"{title}: {', '.join(names)}", trained, book)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
