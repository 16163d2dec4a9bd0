"""scikit-learn's own searches, driven from outside: what they evaluate is theirs, who evaluates it is ours.

`GridSearchCV` and `RandomizedSearchCV` decide in `_run_search(evaluate_candidates)` what is evaluated;
`HalvingGridSearchCV` and `HalvingRandomSearchCV` do so rung by rung. That method runs here in a thread of its own; its
`evaluate_candidates` hands the candidates to the engine and waits until each has a result. So candidates, their order and
the table of results are the library's to the last key, while trials run in our workers, under our limits, and survive a
restart. Rejected: calling `fit` with a scorer that looks results up (it clones and fits an estimator for every split), and
computing the candidates ourselves (two sources of one truth).
"""

from __future__ import annotations

import math
import queue
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import loguniform, randint, uniform
from sklearn.base import BaseEstimator
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV, ParameterGrid, RandomizedSearchCV
from sklearn.utils import check_random_state

from advisor.core.errors import CannotRunError, InputError
from advisor.core.ports import Proposal, Result
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.levels import Levels, branches, levels, refine
from advisor.engines.rungs import FACTOR, FINALISTS, fewest_rows, first_resources

__all__ = [
    "GridEngine",
    "HalvingGridEngine",
    "HalvingRandomEngine",
    "IntLogUniform",
    "RandomEngine",
    "distributions",
    "levels",
    "refine",
]

ROWS = "n_samples"
"""The library's name for rows as the resource of successive halving."""

_LEAVE_SECONDS = 5.0
"""How long `close` waits for the bridge thread; it only wakes up and ends."""


class IntLogUniform:
    """Integers in [low, high] whose logarithm is uniform: each integer k has the mass of (k - ½, k + ½) on the log scale.

    For `RandomizedSearchCV`, which takes anything with `rvs`; scipy has no such distribution. Source: the rounding is that
    of Optuna's ``IntDistribution(log=True)``.
    """

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def rvs(self, size: int | None = None, random_state: Any = None) -> Any:
        """One integer, or an array of `size`."""
        drawn = check_random_state(random_state).uniform(math.log(self.low - 0.5), math.log(self.high + 0.5), size=size)
        values = np.clip(np.rint(np.exp(drawn)), self.low, self.high).astype(np.int64)
        return values if size is not None else int(values)


def distributions(space: SearchSpace) -> dict[str, Any] | list[dict[str, Any]]:
    """What `RandomizedSearchCV` takes: log-uniform where the space is logarithmic, one mapping for each branch of a condition.

    Raises: CannotRunError when a condition hangs on a range.
    """
    found = branches(space, {name: _distribution(p) for name, p in space.items()})
    return found[0] if len(found) == 1 else found


def _distribution(parameter: Float | Int | Choice) -> Any:
    match parameter:
        case Choice():
            return list(parameter.choices)
        case Float() | Int() if parameter.low == parameter.high:
            return [parameter.low]
        case Float(log=True):
            return loguniform(parameter.low, parameter.high)
        case Float():
            return uniform(parameter.low, parameter.high - parameter.low)
        case Int(log=True):
            return IntLogUniform(parameter.low, parameter.high)
        case Int():
            return randint(parameter.low, parameter.high + 1)


class _Abandoned(BaseException):
    """Ends the bridge thread; no `except Exception` of the library catches it."""


class _InertContext:
    """The callback context `_run_search` asks for, without callbacks."""

    def subcontext(self, **_: Any) -> _InertContext:
        return self

    def call_on_fit_task_begin(self, **_: Any) -> _InertContext:
        return self

    def call_on_fit_task_end(self, **_: Any) -> None:
        return None


class _Batch(NamedTuple):
    """What the library asks for at once."""

    candidates: Iterator[dict[str, Any]]
    """Drawn from while the library waits for the answer, so a random search of many candidates draws those it needs."""
    more: Mapping[str, Sequence[Any]] | None = None
    """Further columns of the table of results, one value a candidate (rung and resource of successive halving)."""
    is_ours: bool = False
    """True when the candidates come after the library's loop and are not in its table."""


class _Bridge:
    """The library's loop in a daemon thread. It always answers: with candidates, with None at its end, or with its error."""

    def __init__(self, search: Any) -> None:
        self._search = search
        self._asked: queue.SimpleQueue[_Batch | BaseException | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="search-bridge", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            self._search._run_search(self._evaluate, callback_ctx=_InertContext())
        except _Abandoned:
            pass
        except BaseException as error:
            end = error
        finally:
            self._asked.put(end)

    def _evaluate(
        self, candidate_params: Iterable[dict[str, Any]], cv: Any = None, more_results: Any = None, callback_ctx: Any = None
    ) -> dict[str, Any]:
        del cv, callback_ctx
        self._asked.put(_Batch(iter(candidate_params), more_results))
        answer = self._answers.get()
        if answer is None:
            raise _Abandoned
        return answer

    def next_batch(self) -> _Batch | None:
        """The next batch, or None at the end of the search. Call it only when the batch before was answered."""
        asked = self._asked.get()
        if isinstance(asked, BaseException):
            raise _refusal(self._search, asked) from asked
        return asked

    def answer(self, results: dict[str, Any]) -> None:
        self._answers.put(results)

    def close(self) -> None:
        self._answers.put(None)
        self._thread.join(_LEAVE_SECONDS)


def _refusal(search: Any, error: BaseException) -> CannotRunError:
    return CannotRunError(
        f"{type(search).__name__} cannot search this space: {error}",
        where="search space",
        cure="Correct the space, or choose another strategy.",
    )


class _SearchEngine:
    """Drives one scikit-learn search class; everything but the construction of the class."""

    def __init__(self, search: Any, *, direction: Literal["minimize", "maximize"], splits: int, seed: int) -> None:
        self._sign = 1 if direction == "maximize" else -1
        self._splits = splits
        self._seed = seed
        self._search = search
        # `fit` would set it; `_run_search` only counts its subtasks with it.
        self._search.n_splits_ = splits
        self._bridge: _Bridge | None = None
        self._batch: _Batch | None = _Batch(iter(()))
        self._batch_began = 0
        self._candidates: list[dict[str, Any]] = []
        self._more: list[dict[str, Any] | None] = []
        """Further columns of each candidate; None for those that are not in the library's table."""
        self._first_open = 0
        self._running: set[int] = set()
        self._results: dict[int, Result] = {}
        self._journal: dict[int, Proposal] = {}

    def propose(self) -> Proposal | None:
        """The library's next candidate without a result; None when all of its batch run, or when the search is over."""
        key = self._next_key()
        if key is None:
            return None
        self._running.add(key)
        return self._proposal(key)

    @property
    def is_done(self) -> bool:
        """True when the library's loop has ended."""
        return self._next_key() is None and self._batch is None

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """False: the library class scores every split of every candidate."""
        del proposal, step, value
        return False

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial; what did not complete scores NaN, as with ``error_score=nan``.

        Raises: CannotRunError when the journal holds another configuration at this key than the library gives.
        """
        if result.status == "completed" and len(result.scores) != self._splits and not (self._splits == 1 and not result.scores):
            raise InputError(
                f"The objective gave {len(result.scores)} scores where the plan has {self._splits} splits",
                where=f"proposal {proposal.key}",
                cure="Report one score a split.",
            )
        self._running.discard(proposal.key)
        self._results[proposal.key] = result
        self._journal[proposal.key] = proposal
        self._check(proposal.key)

    def close(self) -> None:
        """Ends the bridge thread, in the middle of the search too."""
        if self._bridge is not None:
            self._bridge.close()
            self._bridge = None
        self._batch = None

    def results(self) -> dict[str, Any]:
        """`cv_results_` of the candidates that have ended, formatted by the library; times are those of our workers.

        Parameters have the names of the space. Empty when nothing has ended.
        """
        ended = [key for key, columns in enumerate(self._more) if key in self._results and columns is not None]
        if not ended:
            return {}
        rows = [self._more[key] or {} for key in ended]
        more = {name: [columns[name] for columns in rows] for name in rows[0]}
        out = [row for key in ended for row in self._rows(self._results[key])]
        with warnings.catch_warnings():
            # It warns about the NaN of every failed trial; those are events of their own here.
            warnings.simplefilter("ignore", UserWarning)
            formatted: dict[str, Any] = self._search._format_results([self._candidates[key] for key in ended], self._splits, out, more)
        return formatted

    def _proposal(self, key: int) -> Proposal:
        return Proposal(key, _plain(self._candidates[key]), seed=self._seed)

    def _afterwards(self) -> _Batch | None:
        """What is evaluated once the library's loop has ended."""
        return None

    def _rows(self, result: Result) -> list[dict[str, float]]:
        scores: Sequence[float]
        if result.status != "completed" or result.value is None:
            scores = (math.nan,) * self._splits
        else:
            scores = [self._sign * s for s in result.scores or (result.value,)]
        return [{"test_scores": s, "fit_time": result.fit_seconds, "score_time": 0.0} for s in scores]

    def _next_key(self) -> int | None:
        """The first candidate that neither runs nor has ended; None while the library waits for results, and at its end."""
        while self._batch is not None:
            if self._first_open < len(self._candidates) or self._draw():
                if self._first_open not in self._results and self._first_open not in self._running:
                    return self._first_open
                self._first_open += 1
            elif self._running:
                return None
            else:
                self._turn_over()
        return None

    def _draw(self) -> bool:
        """True when the batch in hand gave another candidate."""
        assert self._batch is not None
        try:
            drawn = next(self._batch.candidates, None)
        except (TypeError, ValueError) as error:
            raise _refusal(self._search, error) from error
        if drawn is None:
            return False
        position = len(self._candidates) - self._batch_began
        self._candidates.append(drawn)
        columns = {name: values[position] for name, values in (self._batch.more or {}).items()}
        self._more.append(None if self._batch.is_ours else columns)
        self._check(len(self._candidates) - 1)
        return True

    def _turn_over(self) -> None:
        """Answers the batch that is complete and takes the next."""
        assert self._batch is not None
        if self._batch.is_ours:
            self._batch = None
            return
        if self._bridge is None:
            self._bridge = _Bridge(self._search)
        else:
            self._bridge.answer(self.results())
        self._batch = self._bridge.next_batch() or self._afterwards()
        self._batch_began = len(self._candidates)

    def _check(self, key: int) -> None:
        if key not in self._journal or key >= len(self._candidates):
            return
        journalled, proposed = self._journal[key], self._proposal(key)
        if (journalled.config, journalled.rows) != (proposed.config, proposed.rows):
            raise CannotRunError(
                f"The journal's proposal {key} is {_shown(journalled)}, where {type(self._search).__name__} proposes {_shown(proposed)}",
                where=f"proposal {key}",
                cure="Start a new run that reuses the finished trials with --continue; another version of scikit-learn may be installed.",
            )


def _shown(proposal: Proposal) -> str:
    return f"{proposal.config}" + ("" if proposal.rows is None else f" on {proposal.rows} rows")


class GridEngine(_SearchEngine):
    """`GridSearchCV`'s candidates in its order: `param_grid` as it stands, or `levels` by branch, or coarse levels for `trials`.

    Every candidate is evaluated, also where `history` holds it: the candidates equal the library class's, after the
    default and the starts.

    Raises: CannotRunError when a condition of the space hangs on a range; InputError when no levels are given.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        direction: Literal["minimize", "maximize"],
        seed: int,
        splits: int,
        trials: int | None = None,
        levels: Mapping[str, Sequence[Any]] | None = None,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]] | None = None,
        history: Sequence[tuple[Config, Result]] = (),
    ) -> None:
        del history
        if param_grid is None:
            chosen = _coarse(space, trials) if levels is None else {n: list(v) for n, v in levels.items()}
            param_grid = branches(space.restrict(list(chosen)), chosen)
        self.param_grid = param_grid
        super().__init__(GridSearchCV(BaseEstimator(), param_grid), direction=direction, splits=splits, seed=seed)


def _coarse(space: SearchSpace, trials: int | None) -> Levels:
    if trials is None:
        raise InputError("A grid needs its levels", where="GridEngine", cure="Give levels, param_grid or trials.")
    return levels(space, trials)


class RandomEngine(_SearchEngine):
    """`RandomizedSearchCV`'s candidates in its order, log-uniform where the space is logarithmic; a finite space without repeats.

    Every candidate is evaluated, also where `history` holds it: the candidates equal the library class's, after the
    default and the starts.

    Raises: CannotRunError when a condition of the space hangs on a range.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        direction: Literal["minimize", "maximize"],
        seed: int,
        splits: int,
        n_iter: int,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        history: Sequence[tuple[Config, Result]] = (),
    ) -> None:
        del history
        self.param_distributions = distributions(space) if param_distributions is None else param_distributions
        search = RandomizedSearchCV(
            BaseEstimator(), self.param_distributions, n_iter=_at_most(self.param_distributions, n_iter), random_state=seed
        )
        super().__init__(search, direction=direction, splits=splits, seed=seed)


class _HalvingEngine(_SearchEngine):
    """Drives one of scikit-learn's two classes of successive halving.

    With rows as the resource every proposal of the library carries `rows`; after its last rung the best `finalists` of that
    rung are proposed once more on all rows, since only such a trial may be shipped or compared with the default. They are
    not in `results`. With a parameter as the resource the proposal's configuration holds its value.
    """

    def __init__(self, search: Any, *, direction: Literal["minimize", "maximize"], splits: int, seed: int, finalists: int) -> None:
        super().__init__(search, direction=direction, splits=splits, seed=seed)
        # What `fit` would set from the table, which this process need not hold: `_run_search` reads these four, and builds with
        # the first two a splitter that only its own evaluator would ask; ours cuts the rows by `Proposal.rows`.
        search._checked_cv_orig = None
        search._n_samples_orig = search.max_resources
        search.min_resources_, search.max_resources_ = search.min_resources, search.max_resources
        self._finalists = finalists
        self.settings: dict[str, Any] = {
            name: getattr(search, name) for name in ("resource", "min_resources", "max_resources", "factor", "random_state")
        }
        """What the library class takes beside the estimator and the candidates to run the same search."""

    def _proposal(self, key: int) -> Proposal:
        columns = self._more[key]
        rows = columns["n_resources"] if columns is not None and self._search.resource == ROWS else None
        return Proposal(key, _plain(self._candidates[key]), seed=self._seed, rows=rows)

    def _afterwards(self) -> _Batch | None:
        if self._search.resource != ROWS:
            return None
        results = self.results()
        last = np.flatnonzero(results["iter"] == results["iter"].max())
        scored = [int(i) for i in last if np.isfinite(results["mean_test_score"][i])]
        best = sorted(scored, key=lambda i: (-results["mean_test_score"][i], i))[: self._finalists]
        return _Batch(iter([results["params"][i] for i in best]), is_ours=True)


class HalvingGridEngine(_HalvingEngine):
    """`HalvingGridSearchCV`'s candidates, rung by rung: `param_grid` as it stands, or `levels` by branch, or coarse levels for `trials`.

    `rows` are those that the splits divide (without the held-out ones) and `classes` the classes of the target, 0 for
    regression. `resource` is ``n_samples`` or a parameter of whole numbers, whose range in the space bounds the rungs; the
    first rung is as large as the library's ``exhaust`` makes it and no smaller than `rungs.fewest_rows`.

    Raises: CannotRunError when a condition of the space hangs on a range or on the resource, or the resource is too small
    for a first rung; InputError when levels or the bounds of the resource are not given.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        direction: Literal["minimize", "maximize"],
        seed: int,
        splits: int,
        rows: int | None = None,
        classes: int = 0,
        trials: int | None = None,
        levels: Mapping[str, Sequence[Any]] | None = None,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]] | None = None,
        resource: str = ROWS,
        min_resources: int | None = None,
        max_resources: int | None = None,
        factor: int = FACTOR,
        finalists: int = FINALISTS,
        history: Sequence[tuple[Config, Result]] = (),
    ) -> None:
        del history
        if param_grid is None:
            searched = _without(space, resource)
            chosen = _coarse(searched, trials) if levels is None else {n: list(v) for n, v in levels.items()}
            param_grid = branches(searched.restrict(list(chosen)), chosen)
        self.param_grid = param_grid
        bounds = _bounds(space, resource, rows, classes, splits, min_resources, max_resources, len(ParameterGrid(param_grid)), factor)
        search = HalvingGridSearchCV(BaseEstimator(), param_grid, random_state=seed, return_train_score=False, **bounds)
        super().__init__(search, direction=direction, splits=splits, seed=seed, finalists=finalists)


class HalvingRandomEngine(_HalvingEngine):
    """`HalvingRandomSearchCV`'s candidates, rung by rung: `n_candidates` draws from the space, a finite one without repeats.

    `rows` are those that the splits divide (without the held-out ones) and `classes` the classes of the target, 0 for
    regression. `resource` is ``n_samples`` or a parameter of whole numbers, whose range in the space bounds the rungs; the
    first rung is as large as the library's ``exhaust`` makes it and no smaller than `rungs.fewest_rows`.

    Raises: CannotRunError when a condition of the space hangs on a range or on the resource, or the resource is too small
    for a first rung; InputError when the bounds of the resource are not given.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        direction: Literal["minimize", "maximize"],
        seed: int,
        splits: int,
        n_candidates: int,
        rows: int | None = None,
        classes: int = 0,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        resource: str = ROWS,
        min_resources: int | None = None,
        max_resources: int | None = None,
        factor: int = FACTOR,
        finalists: int = FINALISTS,
        history: Sequence[tuple[Config, Result]] = (),
    ) -> None:
        del history
        self.param_distributions = distributions(_without(space, resource)) if param_distributions is None else param_distributions
        candidates = _at_most(self.param_distributions, n_candidates)
        search = HalvingRandomSearchCV(
            BaseEstimator(),
            self.param_distributions,
            n_candidates=candidates,
            random_state=seed,
            return_train_score=False,
            **_bounds(space, resource, rows, classes, splits, min_resources, max_resources, candidates, factor),
        )
        super().__init__(search, direction=direction, splits=splits, seed=seed, finalists=finalists)
        self.settings["n_candidates"] = candidates


def _without(space: SearchSpace, resource: str) -> SearchSpace:
    """`space` without the parameter that is the resource."""
    if (own := space.parameters.get(resource)) is None:
        return space
    hanging = [name for name, p in space.items() if resource in (p.when or {})]
    if own.when or hanging:
        raise CannotRunError(
            f"{resource} cannot be the resource of successive halving: "
            + (f"{hanging[0]} depends on it" if hanging else "it depends on another parameter"),
            where=f"search space, {resource}",
            cure=f"Use {ROWS} as the resource, or remove the condition.",
        )
    return space.restrict([name for name in space.parameters if name != resource])


def _bounds(
    space: SearchSpace,
    resource: str,
    rows: int | None,
    classes: int,
    splits: int,
    least: int | None,
    most: int | None,
    candidates: int,
    factor: int,
) -> dict[str, Any]:
    """The library's arguments for the resource, as numbers: the first rung is of our size, which ``exhaust`` may fall short of."""
    if resource == ROWS:
        most = rows if most is None else most
        least = fewest_rows(classes=classes, splits=splits) if least is None else least
    elif isinstance(own := space.parameters.get(resource), Int):
        most = own.high if most is None else most
        least = own.low if least is None else least
    if most is None:
        raise InputError(
            "Successive halving needs the whole of its resource",
            where=resource,
            cure="Give the number of rows." if resource == ROWS else f"Give max_resources, or {resource} as whole numbers in the space.",
        )
    least = max(1, least or 1)
    if least > most or candidates < 1:
        raise CannotRunError(
            f"The first rung of successive halving needs {least} of {resource}, and there are {most}"
            if candidates
            else "Successive halving has no candidates",
            where="strategy halving",
            cure="Choose another with --strategy.",
        )
    first = first_resources(candidates, most=most, least=least, factor=factor)
    return {"resource": resource, "min_resources": first, "max_resources": most, "factor": factor}


def _at_most(found: Any, n_iter: int) -> int:
    """`n_iter`, or the number of combinations of a finite space where that is less (the library does the same, with a warning)."""
    parts = [found] if isinstance(found, Mapping) else list(found)
    if all(isinstance(values, list) for part in parts for values in part.values()):
        return min(n_iter, len(ParameterGrid(found)))
    return n_iter


def _plain(params: Mapping[str, Any]) -> Config:
    """`params` with Python's own numbers, which a journal can hold."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in params.items()}
