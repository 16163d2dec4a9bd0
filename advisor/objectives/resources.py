"""Questions to a worker about a network, ahead of its trials. PyTorch is imported where they are answered, not where they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from advisor.core.ports import Measurement
from advisor.core.space import Config
from advisor.objectives.network_objective import NetworkObjective


class NetworkResources:
    """An objective for a worker whose answer is in `last_suggested`.

    ``{"what": "batch", …}`` with the arguments of `network_memory.measure_batch` asks for the largest batch, answered by its keys;
    ``{"what": "range", "config": …}`` for a learning-rate range test, answered by ``suggestion``, ``diverged_at`` and ``steps``.
    """

    def __init__(self, objective: NetworkObjective) -> None:
        self.objective = objective
        self.last_suggested: dict[str, Any] = {}

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:  # noqa: ARG002
        """One measurement: the batch (0: none fits), or the learning rate (0: none is suggested)."""
        asked = dict(config)
        if asked.pop("what") == "range":
            from advisor.objectives.range_test import range_test

            found = range_test(self.objective.first_training(asked["config"]))
            self.last_suggested = {"suggestion": found.suggestion, "diverged_at": found.diverged_at, "steps": len(found.losses)}
            yield Measurement(step=1, value=found.suggestion or 0.0)
        else:
            from advisor.objectives.network_memory import measure_batch

            self.last_suggested = measure_batch(self.objective, **asked)
            yield Measurement(step=1, value=float(self.last_suggested["fits"]))
