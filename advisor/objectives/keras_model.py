"""A Keras model as an objective: an epoch a step, and any epoch can be gone on from.

Keras owns its loop of epochs and reports to callbacks. The bridge is ``model.fit`` for one epoch a pull, with
``initial_epoch``: the model and its optimizer live on between the calls, so momentum, the count of iterations and a
schedule that hangs on it go on as in one long `fit`. Rejected: `fit` in a thread with a callback that waits (an objective
that is closed in mid-training leaves the thread), and ``train_on_batch`` (it is a second loop beside Keras's).
Callbacks that count for themselves (EarlyStopping) would begin anew with every epoch and are not taken; stopping early is
the pruner's part.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from advisor.core.errors import CannotRunError, InputError, nearest
from advisor.core.objective import Kind
from advisor.core.ports import Measurement
from advisor.core.space import Choice, Config, Float, Int, SearchSpace

_GROWING = ("accuracy", "auc", "precision", "recall", "sensitivity", "specificity", "f1", "fbeta", "r2", "iou", "true_positives")
_SHRINKING = ("loss", "error", "crossentropy", "divergence", "false_positives", "false_negatives", "perplexity")
_MOST_BUILDS = 100
"""[H] Models that are built at most to find out what a ``build(hp)`` declares."""


class _Rows(NamedTuple):
    """Inputs, targets and sample weights; each an array of rows or a structure of such arrays."""

    x: Any
    y: Any
    weight: Any = None


class KerasObjective:
    """Scores configurations of a Keras model on rows kept apart from `data`: ``objective(config)`` yields a measurement an epoch.

    `build` gives a compiled model, from the configuration (``build(config)``) or, when its argument is named ``hp``, from
    KerasTuner's hyperparameters; a ``keras_tuner.HyperModel`` is taken too. `data` are training rows: ``(X, y)``,
    ``(X, y, sample_weight)``, arrays or structures of arrays for a model of several inputs, or the path of an ``.npz`` with
    ``x``, ``y`` (or ``x_train``, ``y_train``), read in the worker. `validation` is the share of them that is kept apart, by
    class where the targets are classes, or rows of its own like `data`. Rows of a test set belong in neither.

    `metric` is what `fit` reports after an epoch, such as ``val_loss`` or ``val_accuracy``. `batch_size` is a number, or the
    name of the parameter that holds it. All trials share the split and the seed.

    A measurement's checkpoint is a function that gives weights, states of random layers and the optimizer's state;
    ``objective(config, checkpoint)`` goes on after its epoch under the learning rate of the `config` it is given. On a CPU
    that equals never having stopped, to the bit.

    The generators of Python, NumPy, Keras and its backend are seeded at the start of every trial and of every epoch.

    Raises: InputError for a share outside (0, 1), for epochs below 1 and for a metric of the training rows.
    """

    kind: Kind = "keras"
    """What brings the objective, for the rules."""

    def __init__(
        self,
        build: Any,
        data: Any,
        *,
        epochs: int,
        metric: str = "val_loss",
        validation: Any = 0.2,
        batch_size: int | str = 32,
        seed: int = 0,
    ) -> None:
        self.build, self.takes_hyperparameters = _build_function(build)
        self.data = str(data) if isinstance(data, str | Path) else data
        self.epochs = epochs
        self.metric = metric
        self.validation = str(validation) if isinstance(validation, str | Path) else validation
        self.batch_size = batch_size
        self.seed = seed
        self._parts: tuple[_Rows, _Rows] | None = None
        self._last: Any = None
        if epochs < 1:
            raise InputError(f"epochs is {epochs}", where="KerasObjective", cure="Train for at least one epoch.")
        if isinstance(validation, int | float) and not 0 < validation < 1:
            cure = "Give a share between 0 and 1, or rows."
            raise InputError(f"validation is {validation}", where="KerasObjective", cure=cure)
        if not metric.startswith("val_"):
            raise InputError(
                f"{metric} is measured on the rows the model was trained on", where="KerasObjective", cure=f"Use metric='val_{metric}'."
            )

    @property
    def direction(self) -> Literal["minimize", "maximize"] | None:
        """Which way `metric` is better, by its name; None when the name does not say."""
        name = self.metric.removeprefix("val_").casefold()
        if any(word in name for word in _SHRINKING):
            return "minimize"
        return "maximize" if any(word in name for word in _GROWING) else None

    @property
    def space(self) -> SearchSpace:
        """The space that ``build(hp)`` declares, found by building.

        Raises: InputError when `build` takes a configuration, fails, or declares what cannot be searched.
        """
        if not self.takes_hyperparameters:
            cure = "Give the space beside it, or write build(hp) with KerasTuner's hyperparameters."
            raise InputError("build(config) does not tell what it can be given", where="space", cure=cure)
        try:
            return declared_space(self.build)
        except AttributeError as error:  # a property that lets it through looks like an attribute that is not there
            cure = "Correct the function; it is called with KerasTuner's HyperParameters."
            raise InputError(f"build(hp) fails: {error}", where="build(hp)", cure=cure) from error

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        """One measurement an epoch; the first after `checkpoint` when there is one.

        Raises: DivergedError when the metric is not finite; InputError when `build` gives no compiled model, the model does
        not report `metric`, or the checkpoint is another model's.
        """
        keras = _keras()
        import numpy as np

        train, held = self._split()
        keras.utils.set_random_seed(self.seed)
        model = self._model(config)
        rows = _count(train.x)
        begun = 0 if checkpoint is None else _restore(model, checkpoint, train)
        self._last = model
        for epoch in range(begun + 1, self.epochs + 1):
            # What is random in an epoch hangs on its number alone, so that going on draws what an uninterrupted run draws: the
            # order of its rows, and what layers take from generators outside the model (Dropout without a seed takes torch's).
            draw = np.random.default_rng((self.seed, epoch))
            order = draw.permutation(rows)
            keras.utils.set_random_seed(int(draw.integers(1 << 32)))
            shuffled = _Rows(*(_taken(part, order) for part in train))
            reported = model.fit(
                shuffled.x,
                shuffled.y,
                sample_weight=shuffled.weight,
                batch_size=self._batch_size(config),
                validation_data=tuple(held if held.weight is not None else held[:2]),
                initial_epoch=epoch - 1,
                epochs=epoch,
                shuffle=False,
                verbose=0,
            ).history
            yield Measurement(epoch, self._value(reported, epoch), checkpoint=lambda epoch=epoch: _state(model, epoch))

    def save_last(self, path: str) -> None:
        """Writes the last trial's model to `path`, to be read by ``joblib.load`` (Keras pickles a model as its archive)."""
        import joblib

        if self._last is None:
            raise InputError("no trial has run here", where="KerasObjective.save_last", cure="Evaluate a configuration first.")
        joblib.dump(self._last, path)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None, "_parts": None}

    def _model(self, config: Config) -> Any:
        model = self.build(_filled(config) if self.takes_hyperparameters else dict(config))
        if not isinstance(model, _keras().Model):
            cure = "Return the compiled keras.Model."
            raise InputError(f"build gave {'nothing' if model is None else f'a {type(model).__name__}'}", where="KerasObjective", cure=cure)
        if not model.compiled:
            raise InputError(
                "build gave a model that is not compiled", where="KerasObjective", cure="Call model.compile(…) before returning it."
            )
        return model

    def _batch_size(self, config: Mapping[str, Any]) -> int:
        if not isinstance(self.batch_size, str):
            return self.batch_size
        if self.batch_size not in config:
            cure = nearest(self.batch_size, config) or "Name a parameter of the space."
            raise InputError(f"no parameter is named {self.batch_size!r}", where="batch_size", cure=cure)
        return int(config[self.batch_size])

    def _value(self, reported: Mapping[str, Any], epoch: int) -> float:
        if self.metric not in reported:
            cure = nearest(self.metric, [n for n in reported if n.startswith("val_")])
            raise InputError(f"the model reports no {self.metric}", where="KerasObjective", cure=cure)
        value = float(reported[self.metric][-1])
        from advisor.objectives.scoring import DivergedError

        if not math.isfinite(value):
            raise DivergedError(f"diverged: {self.metric} is {value} after epoch {epoch}", cure="Lower the learning rate.")
        return value

    def _split(self) -> tuple[_Rows, _Rows]:
        """Training and validation rows, the same in every trial and every process."""
        if self._parts is None:
            import numpy as np

            rows = _read(self.data)
            if not isinstance(self.validation, int | float):
                self._parts = rows, _read(self.validation)
            else:
                from sklearn.model_selection import train_test_split

                kept, held = train_test_split(
                    np.arange(_count(rows.x)), test_size=self.validation, random_state=self.seed, stratify=_classes(rows.y, self.validation)
                )
                self._parts = _Rows(*(_taken(p, kept) for p in rows)), _Rows(*(_taken(p, held) for p in rows))
        return self._parts


def declared_space(build: Callable[[Any], Any]) -> SearchSpace:
    """The space that KerasTuner would search: what ``build(hp)`` asks of ``hp``, whatever it is answered.

    `build` is called with the defaults, once within each conditional scope, and once for every choice and the largest value of
    every integer, so that ``for i in range(hp.Int("layers", 1, 4)): hp.Int(f"units_{i}", …)`` is found whole. A range with a
    step becomes a choice of its values, which are drawn alike.

    Raises: InputError for what our spaces do not hold: a reversed logarithm, one name for several parameters.
    """
    found = _keras_tuner().HyperParameters()
    waiting: list[dict[str, Any]] = [{}]
    tried: list[dict[str, Any]] = []
    while waiting and len(tried) < _MOST_BUILDS:
        answers = waiting.pop(0)
        tried.append(answers)
        hp = found.copy()
        hp.values = {**{p.name: p.default for p in hp.space}, **answers}
        for parameter in hp.space:
            if not hp.is_active(parameter.name):
                hp.values.pop(parameter.name, None)
        build(hp)
        found.merge(hp.space, overwrite=False)
        scopes = [{c.name: c.values[0] for c in scope} for scope in hp.inactive_scopes]
        others = [{p.name: value} for p in hp.space if not p.conditions for value in _turns(p)]
        waiting += [a for n, a in enumerate(scopes + others) if a not in tried + waiting + (scopes + others)[:n]]
    return _space(found)


def _turns(parameter: Any) -> list[Any]:
    """Values under which `build` may ask for parameters that it did not ask for before."""
    match type(parameter).__name__:
        case "Choice" | "Boolean":
            return [v for v in parameter.values if v != parameter.default]
        case "Int":
            return [parameter.max_value]
        case _:
            return []


def _space(found: Any) -> SearchSpace:
    parameters: dict[str, Float | Int | Choice] = {}
    for declared in found.space:
        parameter = _parameter(declared)
        before = parameters.get(declared.name)
        parameters[declared.name] = parameter if before is None else _joined(declared.name, before, parameter)
    return SearchSpace(parameters=parameters)


def _parameter(declared: Any) -> Float | Int | Choice:
    """One of KerasTuner's parameters as ours."""
    when: dict[str, tuple[Any, ...]] = {}
    for condition in declared.conditions:
        allowed = tuple(condition.values)
        when[condition.name] = tuple(v for v in when.get(condition.name, allowed) if v in allowed)
    rest: dict[str, Any] = {"default": declared.default, "when": when or None}
    kind = type(declared).__name__
    if kind not in ("Int", "Float"):
        # Booleans in the order in which a drawing below and above one half gives them.
        return Choice([False, True] if kind == "Boolean" else list(declared.values if kind == "Choice" else [declared.value]), **rest)
    if declared.sampling == "reverse_log":
        cure = 'Search 1 - x with sampling="log".'
        raise InputError(f"{declared.name} is drawn on a reversed logarithm, which no space holds", where="build(hp)", cure=cure)
    number = int if kind == "Int" else float
    if declared.step is not None and (kind, declared.sampling, declared.step) != ("Int", "linear", 1):
        values = [number(v) for v in declared.values]
        return Choice(values, **{**rest, "default": min(values, key=lambda v: abs(v - declared.default))})
    bounds = {"low": number(declared.min_value), "high": number(declared.max_value), "log": declared.sampling == "log"}
    return Int(**bounds, **rest) if kind == "Int" else Float(**bounds, **rest)


def _joined(name: str, before: Float | Int | Choice, again: Float | Int | Choice) -> Float | Int | Choice:
    """A parameter declared in several scopes: active in any of them."""
    if before.model_copy(update={"when": None}) == again.model_copy(update={"when": None}):
        if not before.when or not again.when:
            return before.model_copy(update={"when": None})
        if len(before.when) == 1 and before.when.keys() == again.when.keys():
            ((parent, values),) = before.when.items()
            return before.model_copy(update={"when": {parent: (*values, *(v for v in again.when[parent] if v not in values))}})
    cure = "Give them different names."
    raise InputError(
        f"{name} is declared more than once, differently or under conditions that cannot be joined", where="build(hp)", cure=cure
    )


def _filled(config: Config) -> Any:
    """KerasTuner's hyperparameters that answer with the values of `config`; what it does not name has its default."""
    hp = _keras_tuner().HyperParameters()
    hp.values = dict(config)
    return hp


def _build_function(build: Any) -> tuple[Callable[[Any], Any], bool]:
    """The function that builds, and whether it takes KerasTuner's hyperparameters.

    Raises: InputError when it is no function of one argument, or a HyperModel that trains in its own way.
    """
    if not inspect.isroutine(build) and callable(getattr(build, "build", None)):
        own = [c for c in type(build).__mro__ if "fit" in vars(c) and not c.__module__.startswith("keras_tuner.")]
        if own:
            cure = "Leave `fit` to the objective, which trains epoch by epoch; give batch_size by its name."
            raise InputError(f"{own[0].__name__} trains by a `fit` of its own", where="KerasObjective", cure=cure)
        return build.build, True
    try:
        first = next(iter(inspect.signature(build).parameters))
    except (TypeError, ValueError, StopIteration):
        cure = "Give a function build(config) or build(hp)."
        raise InputError(f"build is {build!r:.80}, no function of one argument", where="KerasObjective", cure=cure) from None
    return build, first == "hp"


# -- rows ------------------------------------------------------------------------------------------------------------------


def _read(given: Any) -> _Rows:
    """The rows `given` as arrays or a path.

    Raises: InputError when the file lacks a part, or the parts differ in length.
    """
    import numpy as np

    if isinstance(given, str):
        parts = _from_file(Path(given))
    else:
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise InputError("the rows are no pair (X, y)", where="KerasObjective", cure="Give (X, y), (X, y, sample_weight) or a path.")
        parts = tuple(given)
    rows = _Rows(*(_mapped(np.asarray, part) for part in parts))
    counts = {_count(part) for part in rows if part is not None}
    if len(counts) != 1:
        raise InputError(f"inputs and targets have {sorted(counts)} rows", where="KerasObjective", cure="Give as many targets as inputs.")
    return rows


def _from_file(path: Path) -> tuple[Any, ...]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            for names in (("x", "y"), ("X", "y"), ("x_train", "y_train"), ("X_train", "y_train")):
                if set(names) <= set(file.files):
                    return tuple(file[name] for name in names)
            held = ", ".join(file.files)
    except (OSError, ValueError) as error:
        raise InputError(f"the rows cannot be read: {error}", where=str(path), cure="Give an .npz file with arrays x and y.") from error
    raise InputError(f"the file holds {held}", where=str(path), cure="Name its arrays x and y, or x_train and y_train.")


def _mapped(function: Callable[[Any], Any], part: Any) -> Any:
    """`function` of each array of `part`: of itself, or of a mapping's or a sequence's arrays. None stays None."""
    if part is None:
        return None
    if isinstance(part, Mapping):
        return {name: _mapped(function, value) for name, value in part.items()}
    if isinstance(part, tuple | list) and part and all(getattr(value, "ndim", 0) for value in part):
        return [_mapped(function, value) for value in part]
    return function(part)


def _taken(part: Any, rows: Any) -> Any:
    return _mapped(lambda array: array[rows], part)


def _count(part: Any) -> int:
    counts: list[int] = []
    _mapped(lambda array: counts.append(len(array)), part)
    return counts[0]


def _classes(y: Any, share: float) -> Any:
    """The targets when they are classes with enough rows to have each in both parts, else None."""
    import numpy as np

    if not isinstance(y, np.ndarray) or y.size != len(y) or y.dtype.kind not in "iub":
        return None
    counts = np.unique(y, return_counts=True)[1]
    fits = counts.min() >= 2 and len(counts) <= min(math.floor(share * len(y)), math.floor((1 - share) * len(y)))
    return y.ravel() if fits else None


# -- checkpoints -----------------------------------------------------------------------------------------------------------


def _state(model: Any, epoch: int) -> dict[str, Any]:
    """Everything that the next epoch hangs on, as arrays: weights, states of random layers, the optimizer's variables."""
    to_array = _keras().ops.convert_to_numpy
    return {
        "epoch": epoch,
        "model": [to_array(v).copy() for v in model.variables],
        "optimizer": [to_array(v).copy() for v in model.optimizer.variables],
    }


def _restore(model: Any, checkpoint: Mapping[str, Any], train: _Rows) -> int:
    """Puts `model` into the state of `checkpoint` and gives its epoch. The learning rate stays the model's own.

    Raises: InputError when the checkpoint is of a model of another shape.
    """
    # One evaluation makes every variable there is, those of layers without an input shape and of the metrics too; `fit` would
    # otherwise try the model out first, and random layers would draw once more than in an uninterrupted run.
    first = _Rows(*(_taken(part, slice(0, 1)) for part in train))
    model.evaluate(first.x, first.y, sample_weight=first.weight, verbose=0)
    model.optimizer.build(model.trainable_variables)
    own_rate = ("learning_rate",)
    for variables, values, kept in (
        (model.variables, checkpoint["model"], ()),
        (model.optimizer.variables, checkpoint["optimizer"], own_rate),
    ):
        if [tuple(v.shape) for v in variables] != [value.shape for value in values]:
            cure = "Change only what leaves the shape of the model as it is."
            raise InputError("the checkpoint is of a model of another shape", where="KerasObjective", cure=cure)
        for variable, value in zip(variables, values, strict=True):
            if variable.name not in kept:
                variable.assign(value)
    return int(checkpoint["epoch"])


# -- the libraries ---------------------------------------------------------------------------------------------------------


def _keras() -> Any:
    """Keras, on the torch backend unless KERAS_BACKEND names another.

    Raises: CannotRunError when it is not installed.
    """
    # Without it Keras reads ~/.keras/keras.json, where TensorFlow stands when nothing else was chosen.
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras  # type: ignore[import-untyped]
    except ImportError as error:
        raise CannotRunError(f"Keras cannot be imported: {error}", where="KerasObjective", cure=_INSTALL) from error
    return keras


def _keras_tuner() -> Any:
    """KerasTuner.

    Raises: CannotRunError when it is not installed.
    """
    _keras()
    try:
        import keras_tuner  # type: ignore[import-untyped]
    except ImportError as error:
        raise CannotRunError(f"KerasTuner cannot be imported: {error}", where="build(hp)", cure=_INSTALL) from error
    return keras_tuner


_INSTALL = 'Install it with `pip install "tuning-advisor[keras]"`.'
