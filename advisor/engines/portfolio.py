"""The race of families, and a fixed list of configurations. Standard library only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from advisor.core.errors import NothingFinishedError
from advisor.core.plan import Candidate
from advisor.core.ports import Proposal, Result
from advisor.core.space import Config

DROP_STANDARD_ERRORS = 2.0
"""[H] A family further behind the leader than this many standard errors of the fold scores leaves the race."""
DROP_RATIO = 0.05
"""[H] With one score a configuration there is no standard error: a family behind by more than this share of the leader's score leaves."""


class FixedEngine:
    """Proposes a given list in order, and nothing else. A proposal whose trial was interrupted comes again."""

    def __init__(self, proposals: Sequence[Proposal]) -> None:
        self._proposals = tuple(replace(p, key=key) for key, p in enumerate(proposals))
        self._running: set[int] = set()
        self._results: dict[int, Result] = {}

    def propose(self) -> Proposal | None:
        """The first proposal that neither runs nor has ended; None when there is none."""
        for proposal in self._proposals:
            if proposal.key not in self._running and proposal.key not in self._results:
                self._running.add(proposal.key)
                return proposal
        return None

    @property
    def is_done(self) -> bool:
        """True once every proposal was handed out."""
        return all(p.key in self._running or p.key in self._results for p in self._proposals)

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """False: a fixed list is never pruned."""
        del proposal, step, value
        return False

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial."""
        self._running.discard(proposal.key)
        self._results[proposal.key] = result

    def results(self) -> dict[int, Result]:
        """Key to result of every proposal that has ended, in order of key."""
        return dict(sorted(self._results.items()))

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The family that the budget goes to."""

    family: str
    """Its name."""
    reason: str
    """Why, in one sentence with the numbers."""


@dataclass(slots=True)
class _Runner:
    """One family in the race."""

    name: str
    starts: tuple[Config, ...]
    taken: set[int]
    history: list[tuple[int, Config, Result]]
    best: Result | None = None
    last_resort: int = 0
    """Starts at the end that are only tried when all before them failed."""

    @property
    def left(self) -> list[int]:
        """Starts that may be tried now."""
        regular = len(self.starts) - self.last_resort
        untried = [i for i in range(len(self.starts)) if i not in self.taken]
        is_hopeless = self.best is None and len(self.history) >= regular and all(r.status == "failed" for *_, r in self.history)
        return untried if is_hopeless else [i for i in untried if i < regular]


class PortfolioEngine:
    """The race of families: every family's default in order, then the leader's next starting configuration, again and again.

    Key 0 is the default of the first family, the only proposal with origin ``default``. What comes next is a function of
    the results told so far and of what is running, so a resumed race goes on as the uninterrupted one would have. A family
    leaves when its best is behind the leader's best by more than `DROP_STANDARD_ERRORS` standard errors of the fold-wise
    differences (of the leader's folds where the other has none), or by more than `DROP_RATIO` of the score when there is
    only one score each; it comes back if a trial still running brings it near again. A family whose trials all failed
    leaves as soon as another has a score. Nothing is ever pruned: defaults and starts run in full.

    Where every start of the first family failed, those of `last_resort` are tried until one does not.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        direction: Literal["minimize", "maximize"],
        splits: int,
        seed: int = 0,
        last_resort: Sequence[Config] = (),
    ) -> None:
        if not candidates:
            raise ValueError("a race needs at least one family")
        self._sign = 1 if direction == "maximize" else -1
        self._splits = splits
        self._seed = seed
        self._runners = {c.family: _Runner(c.family, _without_repeats(c), set(), []) for c in candidates}
        first = self._runners[candidates[0].family]
        further = [dict(c) for c in last_resort if c not in first.starts]
        first.starts, first.last_resort = (*first.starts, *further), len(further)
        self._running: dict[int, Proposal] = {}
        self._told: set[int] = set()

    def propose(self) -> Proposal | None:
        """The next default or start; None when the race is over or hangs on trials that still run."""
        picked = self._pick()
        if picked is None:
            return None
        runner, index = picked
        runner.taken.add(index)
        key = next(k for k in range(len(self._running) + len(self._told) + 1) if k not in self._running and k not in self._told)
        first = next(iter(self._runners))
        origin: Literal["default", "start"] = "default" if index == 0 and runner.name == first else "start"
        proposal = Proposal(key, dict(runner.starts[index]), origin, runner.name, self._seed)
        self._running[key] = proposal
        return proposal

    @property
    def is_done(self) -> bool:
        """True when no start is left, or every family with one has left the race and nothing runs that could change that."""
        if all(len(r.taken) == len(r.starts) for r in self._runners.values()):
            return True
        return not self._running and self._pick() is None

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """False: defaults and starts run in full."""
        del proposal, step, value
        return False

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial; on a resume also of trials this engine has not proposed itself."""
        self._running.pop(proposal.key, None)
        self._told.add(proposal.key)
        runner = self._runners.get(proposal.family or "")
        if runner is None:
            return
        if proposal.config in runner.starts:
            runner.taken.add(runner.starts.index(proposal.config))
        runner.history.append((proposal.key, proposal.config, result))
        if _score(result) is not None and (runner.best is None or self._gap(result, runner.best) > 0):
            runner.best = result

    def close(self) -> None:
        """Nothing is held."""

    def history(self, family: str) -> list[tuple[Config, Result]]:
        """Configurations of a family with their ends, failures too, in order of key."""
        return [(config, result) for _, config, result in sorted(self._runners[family].history, key=lambda entry: entry[0])]

    def ranking(self) -> list[tuple[str, float | None]]:
        """Families with their best score, best first; None for those without any."""
        return [(r.name, _score(r.best) if r.best else None) for r in self._ranked()]

    def winner(self) -> Winner:
        """The family with the best mean score, the earlier of the shortlist on a tie.

        Raises: NothingFinishedError when no trial of the race has completed.
        """
        ranked = self._ranked()
        leader = ranked[0]
        if leader.best is None:
            causes = {result.cause for r in ranked for *_, result in r.history if result.cause}
            raise NothingFinishedError(
                "No configuration of any model family could be evaluated" + (f": {'; '.join(sorted(causes))}" if causes else ""),
                where=", ".join(self._runners),
                cure="Give more time with --budget, or name another family with --model.",
            )
        said = f"{leader.name} scored best, {_score(leader.best):.4g} over {_counted(len(leader.history), 'configuration')}"
        if len(ranked) == 1:
            return Winner(leader.name, f"{leader.name} is the only family, {_score(leader.best):.4g}.")
        second = ranked[1]
        if second.best is None:
            return Winner(leader.name, f"{said}; no other family has a score.")
        gap, error = self._gap(leader.best, second.best), self._error(leader.best, second.best)
        behind = f"{second.name} {_score(second.best):.4g} is behind by {gap:.2g}"
        if error:
            behind += f", {gap / error:.1f} standard errors" + ("" if gap > error else ", which is within noise")
        return Winner(leader.name, f"{said}; {behind}.")

    def _pick(self) -> tuple[_Runner, int] | None:
        for runner in self._runners.values():
            if 0 not in runner.taken:
                return runner, 0
        leader = self._ranked()[0]
        for runner in self._ranked():
            if runner.left and not self._is_out(runner, leader):
                return runner, runner.left[0]
        return None

    def _ranked(self) -> list[_Runner]:
        """Scored families best first, then those without a score in the order of the shortlist."""
        scored = [r for r in self._runners.values() if r.best is not None]
        return sorted(scored, key=lambda r: -self._sign * (_score(r.best) or 0.0)) + [r for r in self._runners.values() if r.best is None]

    def _is_out(self, runner: _Runner, leader: _Runner) -> bool:
        if leader.best is None or runner is leader:
            return False
        if runner.best is None:
            return bool(runner.history)
        gap, error = self._gap(leader.best, runner.best), self._error(leader.best, runner.best)
        if error is None:
            return gap > DROP_RATIO * abs(_score(leader.best) or 0.0)
        return gap > DROP_STANDARD_ERRORS * error

    def _gap(self, a: Result, b: Result) -> float:
        """By how much `a` is better than `b`."""
        return self._sign * ((_score(a) or 0.0) - (_score(b) or 0.0))

    def _error(self, leader: Result, other: Result) -> float | None:
        """Standard error of the gap; None with fewer than two scores."""
        if len(leader.scores) < 2:
            return None
        if len(leader.scores) == len(other.scores):
            differences = [a - b for a, b in zip(leader.scores, other.scores, strict=True)]
        else:
            differences = list(leader.scores)
        return statistics.stdev(differences) / math.sqrt(len(differences))


def _score(result: Result | None) -> float | None:
    return result.value if result is not None and result.status == "completed" else None


def _without_repeats(candidate: Candidate) -> tuple[Config, ...]:
    kept: list[Config] = []
    for config in candidate.starts or (candidate.space.default(),):
        if config not in kept:
            kept.append(dict(config))
    return tuple(kept)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
