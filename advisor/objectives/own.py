"""A user's own function as the objective of a run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

from advisor.core.objective import call
from advisor.core.ports import Measurement
from advisor.core.space import Config


class _Around:
    """Something around `function`, whose attributes (`save_last`, `last_scores` …) show through."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "function":
            raise AttributeError(name)
        return getattr(self.function, name)


class Bounded(_Around):
    """`function`, pulled no further than `last_step`: what it would do beyond is not part of a trial.

    Picklable when `function` is.
    """

    def __init__(self, function: Callable[..., Any], last_step: int) -> None:
        super().__init__(function)
        self.last_step = last_step

    def __call__(self, config: Config, checkpoint: Any = None) -> Any:
        """A number, or measurements up to `last_step`."""
        answer = call(self.function, config, checkpoint)
        return self._steps(answer) if isinstance(answer, Iterator) else answer

    def _steps(self, steps: Iterator[Any]) -> Generator[Any, None, Any]:
        with closing(steps) if hasattr(steps, "close") else _Open():  # type: ignore[type-var]
            while True:
                try:
                    measurement = next(steps)
                except StopIteration as stop:
                    return stop.value  # a generator's last word is its score
                yield measurement
                if isinstance(measurement, Measurement) and measurement.step >= self.last_step:
                    return None


class _Open:
    """An iterator without an end of its own is left as it is."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_exception: object) -> None:
        return None


class Completed(_Around):
    """`function`, its configurations completed by `base`: what a library moves is a part of the space. Picklable when `function` is."""

    def __init__(self, function: Callable[..., Any], base: Config) -> None:
        super().__init__(function)
        self.base = dict(base)

    def __call__(self, config: Config, checkpoint: Any = None) -> Any:
        """What `function` gives for the whole configuration."""
        return call(self.function, {**self.base, **config}, checkpoint)
