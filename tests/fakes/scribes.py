"""A scribe that keeps what it is told, for tests of libraries that own their loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from advisor.core.ports import Proposal, Result
from advisor.core.space import Config


@dataclass
class RecordingScribe:
    """Keeps everything in order. `over_when` says when the stage ends, from this scribe; `seconds` is what is left."""

    over_when: Callable[[RecordingScribe], bool] = lambda _: False
    seconds: float = float("inf")
    proposals: dict[int, Proposal] = field(default_factory=dict)
    """Key to proposal, in order of start."""
    steps: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """Key to what was measured."""
    changes: dict[int, list[tuple[int, Config, int | None, str]]] = field(default_factory=dict)
    """Key to (step, configuration, parent, reason) of each change."""
    results: dict[int, Result] = field(default_factory=dict)
    """Key to how it ended."""
    cures: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    looks: int = 0
    """How often it was asked whether the stage is over."""

    def started(self, proposal: Proposal) -> None:
        assert proposal.key not in self.proposals, "a key is started once"
        self.proposals[proposal.key] = proposal
        self.steps[proposal.key], self.changes[proposal.key] = [], []

    def measured(self, key: int, step: int, value: float) -> None:
        assert key in self.proposals and key not in self.results, "only a running trial is measured"
        assert step > (self.steps[key][-1][0] if self.steps[key] else 0), "steps grow"
        self.steps[key].append((step, value))

    def changed(self, key: int, step: int, config: Config, *, parent: int | None = None, because: str) -> None:
        assert key in self.proposals and key not in self.results, "only a running trial changes"
        self.changes[key].append((step, config, parent, because))

    def ended(self, key: int, result: Result, *, cure: str = "") -> None:
        assert key in self.proposals and key not in self.results, "a trial ends once"
        self.results[key], self.cures[key] = result, cure

    def noted(self, text: str, *, is_warning: bool = False) -> None:
        (self.warnings if is_warning else self.notes).append(text)

    def is_over(self) -> bool:
        self.looks += 1
        return self.over_when(self)

    def remaining(self) -> float:
        return self.seconds

    def config(self, key: int) -> Config:
        """The configuration the trial was changed to last."""
        return self.changes[key][-1][1] if self.changes[key] else self.proposals[key].config
