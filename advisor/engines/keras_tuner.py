"""KerasTuner's Hyperband, asked and told: its oracle decides what is trained and for how long, our workers train it.

`HyperbandOracle` is driven as `keras_tuner.Tuner.search` drives it: `create_trial`, `update_trial`, `end_trial`. It keeps
its rounds among the hyperparameter values (``tuner/epochs``, ``tuner/trial_id`` …); here they become fields of a proposal
and no configuration bears them. A promoted configuration goes on from the checkpoint of the trial it was promoted from.

Inside the oracle a choice is the index of its value. KerasTuner takes neither None nor mixed types as a choice and turns
booleans into integers; the draws are the same, since it draws an index too.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from advisor.core.errors import CannotRunError, InputError
from advisor.core.ports import Proposal, Result
from advisor.core.space import Choice, Config, Float, Int, SearchSpace

# Without it Keras reads ~/.keras/keras.json, where TensorFlow stands when nothing else was chosen.
os.environ.setdefault("KERAS_BACKEND", "torch")
try:
    import keras_tuner  # type: ignore[import-untyped]
    from keras_tuner.src.engine.conditions import Parent  # type: ignore[import-untyped]
except ImportError as error:
    raise CannotRunError(
        f"KerasTuner cannot be imported: {error}",
        where="strategy hyperband of a Keras model",
        cure='Install it with `pip install "tuning-advisor[keras]"`.',
    ) from error

__all__ = ["KerasTunerEngine", "hyperparameters"]

_PRIVATE = "tuner/"
"""How the names begin that the oracle keeps for itself."""
_SCORE = "score"
"""The one metric the oracle knows."""
_ROOM = 2
"""A finite space holds so many times the first round's configurations at least. The oracle gives up after 21 repeats in a
row: with half of the space still new that happens once in 2^21 draws; with an empty space before anything was promoted."""
_LOST = 100
"""Drawings passed over in search of one that the journal holds: more than trials that ran when a run was cut off."""


class _Oracle(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """The library's oracle without its files (the journal is the truth), able to enter a trial of an earlier life."""

    _brackets: list[dict[str, Any]]
    _current_iteration: int
    _seed_state: int

    def __init__(self, space: SearchSpace, *, min_epochs: int, **settings: Any) -> None:
        super().__init__(hyperparameters=hyperparameters(space), **settings)
        self._space = space
        self.verbose = 0
        self.min_epochs = min_epochs
        # The library fixes one epoch as the least while it counts its brackets: they are counted again.
        self._current_bracket = self._get_num_brackets() - 1
        self._brackets = []
        self._start_new_bracket()
        self.wanted: tuple[dict[str, Any], int, str | None] | None = None
        """Values, epochs and promoted trial of the journal's trial that the next `create_trial` must give."""
        self.through: set[str] = set()
        """Trials that ended by themselves; promoting them trains nothing."""
        self._lost: list[dict[str, Any]] = []

    def save(self) -> None:
        """Writes nothing."""

    def _save_trial(self, trial: Any) -> None:
        """Writes nothing."""

    def sizes(self) -> list[list[tuple[int, int]]]:
        """Bracket by bracket, in the order they run, the trials and the epochs of each round."""
        return [
            [(self._get_size(b, r), self._get_epochs(b, r)) for r in range(self._get_num_rounds(b))]
            for b in reversed(range(self._get_num_brackets()))
        ]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The library's answer; where the journal says otherwise (several workers knew less then), the journal's."""
        drawings = self._seed_state, list(self._lost)
        before = copy.deepcopy(self._brackets), self._current_bracket, self._current_iteration
        answer: dict[str, Any] = super().populate_space(trial_id)
        values = answer.get("values")
        if self.wanted is None:
            if values is None:  # an answer that starts nothing leaves no trace, however often it is asked for
                self._seed_state, self._lost = drawings
            return answer
        if values is not None and (self._is_wanted(values) or values.get("tuner/trial_id") in self.through):
            return answer
        self._brackets, self._current_bracket, self._current_iteration = before
        self._seed_state, self._lost = drawings
        return self._entered(trial_id)

    def _is_wanted(self, values: Mapping[str, Any]) -> bool:
        assert self.wanted is not None
        return (_public(values), values["tuner/epochs"], values.get("tuner/trial_id")) == self.wanted

    def _entered(self, trial_id: str) -> dict[str, Any]:
        """The wanted trial, put into the bracket it belongs to; an answer without values when there is none."""
        assert self.wanted is not None
        values, epochs, past = self.wanted
        place = self._first_round(epochs) if past is None else self._next_round(past, epochs)
        if place is None:
            return {"status": "STOPPED"}
        bracket, number = place
        if past is None:
            self._pass_over(values)
        bracket["rounds"][number].append({"past_id": past, "id": trial_id})
        private = {
            "tuner/epochs": epochs,
            "tuner/initial_epoch": 0 if past is None else self._get_epochs(bracket["bracket_num"], number - 1),
            "tuner/bracket": bracket["bracket_num"],
            "tuner/round": number,
        }
        return {"status": "RUNNING", "values": {**values, **private, **({} if past is None else {"tuner/trial_id": past})}}

    def _first_round(self, epochs: int) -> tuple[dict[str, Any], int] | None:
        """A bracket whose first round has room and trains for `epochs`, a new one where need be."""
        for bracket in itertools.chain(self._brackets, self._new_brackets()):
            number = bracket["bracket_num"]
            if len(bracket["rounds"][0]) < self._get_size(number, 0) and self._get_epochs(number, 0) == epochs:
                return bracket, 0
        return None

    def _new_brackets(self) -> Iterator[dict[str, Any]]:
        for _ in range(self._get_num_brackets()):
            if self._current_bracket == 0 and self._current_iteration + 1 == self.hyperband_iterations:
                return
            self._increment_bracket_num()
            self._start_new_bracket()
            yield self._brackets[-1]

    def _next_round(self, past: str, epochs: int) -> tuple[dict[str, Any], int] | None:
        """The round after the one that `past` ran in."""
        for bracket in self._brackets:
            for number, entries in enumerate(bracket["rounds"][:-1], start=1):
                if any(entry["id"] == past for entry in entries) and self._get_epochs(bracket["bracket_num"], number) == epochs:
                    return bracket, number
        return None

    def _pass_over(self, values: dict[str, Any]) -> None:
        """Draws until `values` come; what comes before them was never ended and is proposed again later."""
        if values in self._lost:
            self._lost.remove(values)
            return
        seed_state = self._seed_state
        passed: list[dict[str, Any]] = []
        for _ in range(_LOST):
            drawn = self._drawn()
            if drawn is None:
                break
            if drawn == values:
                self._lost += passed
                return
            passed.append(drawn)
        self._seed_state = seed_state

    def _random_values(self) -> dict[str, Any] | None:
        while self._lost:
            values = self._lost.pop(0)
            if not self._duplicate(values):
                return values
        return self._drawn()

    def _drawn(self) -> dict[str, Any] | None:
        """The library's next drawing. Its powers and products may miss a bound by the last bit."""
        values: dict[str, Any] | None = super()._random_values()
        for name in values or {}:
            parameter = self._space.parameters[name]
            if values is not None and not isinstance(parameter, Choice):
                values[name] = min(max(values[name], parameter.low), parameter.high)
        return values


class KerasTunerEngine:
    """Proposes what ``keras_tuner.Hyperband`` would train, for as long and going on from where it would.

    `max_epochs` is the length of a full training, which the objective ends by itself; a proposal below it is paused at its
    `until`. Trials are ranked by their value at the last epoch they reached, the state they are gone on from (KerasTuner's
    own tuner ranks by the best epoch, because it goes on from that epoch's weights, without the optimizer's state). A trial
    that ends by itself before its pause is through: it keeps its place in the rounds and is not trained again.

    After `hyperband_iterations` rounds through all brackets it is done; None: it goes on for as long as it is asked.
    Configurations are drawn uniformly, so that `history` teaches it nothing.

    Raises: CannotRunError when the space has fewer than twice the configurations of the first round; InputError for
    settings that make no bracket.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        direction: Literal["minimize", "maximize"],
        seed: int,
        max_epochs: int,
        min_epochs: int = 1,
        factor: int = 3,
        hyperband_iterations: int | None = 1,
        history: Sequence[tuple[Config, Result]] = (),
    ) -> None:
        del history
        _check_settings(max_epochs, min_epochs, factor, hyperband_iterations)
        self._space = space
        self._seed = seed
        self._max_epochs = max_epochs
        self._oracle = _Oracle(
            space,
            objective=keras_tuner.Objective(_SCORE, "max" if direction == "maximize" else "min"),
            max_epochs=max_epochs,
            min_epochs=min_epochs,
            factor=factor,
            hyperband_iterations=hyperband_iterations,
            seed=library_seed(seed),
            # The run decides whether to go on when trials fail; the library would raise at the third in a row.
            max_consecutive_failed_trials=sys.maxsize,
        )
        _check_room(space, *self._oracle.sizes()[0][0])
        self._running: dict[int, Any] = {}
        self._ready: Any = None
        self._trials: dict[int, str] = {}
        self._keys: dict[str, int] = {}

    @property
    def rounds(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each bracket of one iteration, in the order they run: (trials, epochs reached) of each round."""
        return tuple(tuple(bracket) for bracket in self._oracle.sizes())

    def propose(self) -> Proposal | None:
        """The oracle's next trial; None while it waits for results, and at its end."""
        trial, self._ready = self._ready or self._asked(), None
        if trial is None:
            return None
        key = next(k for k in itertools.count() if k not in self._trials)
        self._enter(key, trial)
        past = trial.hyperparameters.values.get("tuner/trial_id")
        epochs = trial.hyperparameters.values["tuner/epochs"]
        return Proposal(
            key,
            _decoded(self._space, trial.hyperparameters.values),
            seed=self._seed,
            until=None if epochs >= self._max_epochs else epochs,
            continues=None if past is None else self._keys[past],
        )

    @property
    def is_done(self) -> bool:
        """True when nothing runs and the oracle has no further trial."""
        if self._running or self._ready is not None:
            return False
        self._ready = self._asked()
        return self._ready is None

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """False: a trial is paused where its proposal says, never stopped before."""
        del proposal, step, value
        return False

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial, of this life or an earlier one. What did not get to its epochs is not promoted.

        Raises: CannotRunError when the journal's trial cannot have been proposed here; InputError for a value that is not finite.
        """
        key = proposal.key
        if key not in self._trials:
            self._enter(key, self._asked(proposal))
        trial = self._running.pop(key, None)
        if trial is None:
            raise InputError(f"Proposal {key} has ended before", where="KerasTunerEngine.tell", cure="Tell the end of a trial once.")
        reached = result.steps[-1][0] if result.steps else 0
        is_through = result.status == "completed"
        if is_through or (result.status == "pruned" and proposal.until is not None and reached >= proposal.until):
            self._end(trial, _finite(result.value, key), is_through=is_through)
        else:
            trial.status = "FAILED"
            self._oracle.end_trial(trial)

    def close(self) -> None:
        """Forgets the trials that run; no thread and no file is held."""
        self._running.clear()
        self._ready = None

    def _asked(self, wanted: Proposal | None = None) -> Any:
        """The oracle's next trial that is to be trained, or None.

        Raises: CannotRunError when `wanted` is not to be had.
        """
        while True:
            self._oracle.wanted = None if wanted is None else self._described(wanted)
            trial = self._oracle.create_trial(f"worker {len(self._oracle.trials)}")
            if trial.status != "RUNNING":
                if wanted is None:
                    return None
                raise CannotRunError(
                    f"The journal's proposal {wanted.key} ({wanted.config}) has no place in KerasTuner's rounds",
                    where=f"proposal {wanted.key}",
                    cure="Start a new run that reuses the finished trials with --continue; another version of KerasTuner may be installed.",
                )
            past = trial.hyperparameters.values.get("tuner/trial_id")
            if past not in self._oracle.through:
                return trial
            self._end(trial, self._oracle.trials[past].score, is_through=True)

    def _described(self, proposal: Proposal) -> tuple[dict[str, Any], int, str | None]:
        past = None if proposal.continues is None else self._trials.get(proposal.continues, "")
        epochs = self._max_epochs if proposal.until is None else proposal.until
        return _encoded(self._space, proposal.config), epochs, past

    def _enter(self, key: int, trial: Any) -> None:
        self._running[key] = trial
        self._trials[key] = trial.trial_id
        self._keys[trial.trial_id] = key

    def _end(self, trial: Any, value: float, *, is_through: bool) -> None:
        if is_through:
            self._oracle.through.add(trial.trial_id)
        self._oracle.update_trial(trial.trial_id, {_SCORE: value}, step=trial.hyperparameters.values["tuner/epochs"])
        trial.status = "COMPLETED"
        self._oracle.end_trial(trial)


def library_seed(seed: int) -> int:
    """The seed that KerasTuner is given for a run's `seed`: from 1 to 2^31, hashed.

    KerasTuner draws value after value with ``Random(seed)``, ``Random(seed + 1)``, …, so that neighbouring seeds share
    nearly all their draws; and it reads 0 as "any".
    """
    return 1 + int.from_bytes(hashlib.sha256(f"keras tuner {seed}".encode()).digest()[:4], "big") // 2


def hyperparameters(space: SearchSpace) -> Any:
    """`space` as KerasTuner's ``HyperParameters``, choices by their index and conditions among them.

    The conditions are handed to the parameters: ``conditional_scope`` cannot say that two unrelated ones must hold.

    Raises: InputError when a name begins like those that KerasTuner keeps for itself.
    """
    types = keras_tuner.engine.hyperparameters
    found = keras_tuner.HyperParameters()
    for name, parameter in space.items():
        if name.startswith(_PRIVATE):
            raise InputError(f"KerasTuner keeps names that begin with {_PRIVATE!r}: {name}", where="search space", cure="Rename it.")
        allowed = _conditions(space, parameter)
        if not all(values for _, values in allowed):
            continue  # no value of its parent makes it active
        conditions = [Parent(parent, values) for parent, values in allowed]
        scale = {"sampling": "log" if not isinstance(parameter, Choice) and parameter.log else "linear", "conditions": conditions}
        match parameter:
            case Choice():
                indices = list(range(len(parameter.choices)))
                found.merge([types.Choice(name, indices, ordered=False, conditions=conditions)])
            case Int():
                found.merge([types.Int(name, min_value=parameter.low, max_value=parameter.high, **scale)])
            case Float():
                found.merge([types.Float(name, min_value=parameter.low, max_value=parameter.high, **scale)])
    return found


def _conditions(space: SearchSpace, parameter: Float | Int | Choice) -> list[tuple[str, list[Any]]]:
    """Each parent's name with the values, as the oracle holds them, that make `parameter` active."""
    found = []
    for parent, values in (parameter.when or {}).items():
        above = space.parameters[parent]
        found.append((parent, [i for i, c in enumerate(above.choices) if c in values] if isinstance(above, Choice) else list(values)))
    return found


def _encoded(space: SearchSpace, config: Config) -> dict[str, Any]:
    """`config` as the oracle holds it; what is outside the space stays as it is and matches nothing."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        parameter = space.parameters.get(name)
        held = (
            [i for i, c in enumerate(parameter.choices) if type(c) is type(value) and c == value] if isinstance(parameter, Choice) else []
        )
        out[name] = held[0] if held else value
    return out


def _decoded(space: SearchSpace, values: Mapping[str, Any]) -> Config:
    """The configuration of the oracle's `values`: in the order of the space, without the oracle's own."""
    out: Config = {}
    for name, parameter in space.items():
        if name in values:
            match parameter:
                case Choice():
                    out[name] = parameter.choices[values[name]]
                case Int():
                    out[name] = int(values[name])
                case Float():
                    out[name] = float(values[name])
    return out


def _public(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith(_PRIVATE)}


def _finite(value: float | None, key: int) -> float:
    if value is None or not math.isfinite(value):
        raise InputError(f"Proposal {key} ended with the value {value}", where="KerasTunerEngine.tell", cure="Tell a finite value.")
    return value


def _check_settings(max_epochs: int, min_epochs: int, factor: int, hyperband_iterations: int | None) -> None:
    faults = [
        f"{name} is {value}, and must be at least {least}"
        for name, value, least in (
            ("factor", factor, 2),
            ("min_epochs", min_epochs, 1),
            ("max_epochs", max_epochs, min_epochs),
            ("hyperband_iterations", 1 if hyperband_iterations is None else hyperband_iterations, 1),
        )
        if value < least
    ]
    if faults:
        raise InputError("; ".join(faults), where="settings of hyperband", cure="Correct them in the plan.")


def _check_room(space: SearchSpace, trials: int, epochs: int) -> None:
    """Refuses a space that the first round would use up: then nothing is promoted and no model is ever trained in full."""
    least = _ROOM * trials
    held = sum(1 for _ in itertools.islice(_configurations(list(space.items()), {}), least))
    if held < least:
        raise CannotRunError(
            f"Hyperband starts with {trials} configurations for {epochs} epoch(s) drawn from {least} or more; the space has {held}",
            where="search space",
            cure="Use the grid strategy, which tries all of them, or fewer epochs.",
        )


def _configurations(rest: Sequence[tuple[str, Float | Int | Choice]], config: Config) -> Iterator[Config]:
    """Every configuration of the parameters `rest` under `config`; endless where a range of real numbers is free."""
    if not rest:
        yield config
        return
    (name, parameter), after = rest[0], rest[1:]
    if not parameter.is_active(config):
        yield from _configurations(after, config)
        return
    for value in _values(parameter):
        yield from _configurations(after, {**config, name: value})


def _values(parameter: Float | Int | Choice) -> Iterator[Any]:
    match parameter:
        case Choice():
            return iter(parameter.choices)
        case Int():
            return iter(range(parameter.low, parameter.high + 1))
        case Float():
            return iter((parameter.low,)) if parameter.low == parameter.high else (parameter.low for _ in itertools.count())
