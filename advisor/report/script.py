"""A plan as a plain script: scikit-learn, Optuna, KerasTuner, Ray or PyTorch, and no advisor. Pure: values in, text out.

The script asks and tells as the run did: the same starts, the same seed for each trial, the same splits and the same
arithmetic, so that its first trials are the run's own. What it leaves out is what only a supervisor can do: workers in
parallel, limits on time and memory of a single trial, a journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from advisor.report.script_brief import Brief, ModelCode, OwnCode, PopulationCode, TableCode, literal, wrapped
from advisor.report.script_search import Search, differentiable, searches

WIDTH = 118


def script_text(brief: Brief) -> str:
    """The script, as the text of one Python file."""
    search = searches(brief)
    populated = any(s.population is not None for s in brief.stages)
    imports = _imports(brief, search.imports)
    blocks = [
        _head(brief),
        "\n".join(imports),
        _settings(brief),
        *(
            ['warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)']
            if "import optuna" in search.imports
            else []
        ),
        *([brief.pieces.text] if brief.pieces.definitions else []),
        *(
            [*_table(brief.subject), *([_TABLE_TRAINING.replace("{config}", _whole(brief))] if populated else [])]
            if isinstance(brief.subject, TableCode)
            else _differentiable(brief, brief.subject)
            if brief.subject.kind == "differentiable"
            else _own(brief.subject, _whole(brief) if populated else "")
        ),
        _log(brief),
        *search.blocks,
        *(_end(brief) if isinstance(brief.subject, TableCode) else [_OWN_END.replace(*_SCHEDULED) if populated else _OWN_END]),
        _main(search),
    ]
    return _named_plainly("\n\n\n".join(block.strip("\n") for block in blocks) + "\n", brief.pieces.definitions)


def _named_plainly(text: str, definitions: Iterable[str]) -> str:
    """`text` with the private names of copied definitions made plain, where that hides no other name."""
    for name in definitions:
        plain = name.lstrip("_")
        if plain != name and plain and not re.search(rf"\b{plain}\b", text):
            text = re.sub(rf"(?<![\w.\"']){name}\b", plain, text)
    return text


# head -----------------------------------------------------------------------------------------------------------------


def _head(brief: Brief) -> str:
    strategies = ", then ".join(dict.fromkeys(s.strategy.value for s in brief.stages)) or "the default and the starts"
    differences = "\n".join(f"- {text}" for text in (*brief.differences, *_always_different(brief)))
    needs = "It needs no advisor beyond what your own module imports." if isinstance(brief.subject, OwnCode) else "It needs no advisor."
    populations = [s.population for s in brief.stages if s.population is not None]
    same = "It proposes what the run proposed: the same starts, the same seed for each\ntrial, the same splits."
    if populations:
        same = "It begins as the run did: the same starts, the same splits."
    replay = (
        f"\n    python script.py --replay{_PAD}one model under the schedule that the run has learned" if _has_schedule(populations) else ""
    )
    return f'''"""Tunes on {_plain(brief.data)} with {strategies}: {_plain(brief.name)} as a plain script.

    python script.py                    as planned, {brief.seconds:g} s at most
    python script.py --trials 20        at most 20 trials
    python script.py --log trials.jsonl every trial as a line of JSON{replay}

{_plain(brief.made_by)}
{needs} {same} Where it differs:
{differences}
"""'''


_PAD = " " * 11


def _has_schedule(populations: Iterable[PopulationCode]) -> bool:
    return any(code.schedule for code in populations)


def _always_different(brief: Brief) -> list[str]:
    out = ["Nothing ends a fit that hangs or runs out of memory; the time is looked at between trials."]
    if any(s.population is not None for s in brief.stages):
        out.append("Ray's scheduler takes no seed: members become something else than in the run, and in every run of this script.")
        out.append("A member begins again from its own last checkpoint when its process dies in the run; here it counts as failed.")
    elif brief.workers > 1:
        out.append(
            f"The run had {brief.workers} workers, this has one: a sampler that learns sees results in another order, and proposes "
            "something else from the first trial on that it learned from."
        )
    return out


def _is_optuna(brief: Brief) -> bool:
    return isinstance(brief.subject, OwnCode) and brief.subject.kind == "optuna"


def _imports(brief: Brief, more: Iterable[str]) -> list[str]:
    names = {"import argparse", "import json", "import os", "import time", "from typing import Any", *more, *brief.pieces.imports}
    names |= set(_TABLE_IMPORTS if isinstance(brief.subject, TableCode) else _OWN_IMPORTS[brief.subject.kind])
    variables = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS POLARS_MAX_THREADS"
    standard = {n for n in names if n.split()[1].split(".")[0] in _STANDARD}
    return [
        "from __future__ import annotations",
        "",
        *_merged(standard),
        "",
        f'for _variable in "{variables}".split():',
        f'    os.environ.setdefault(_variable, "{brief.threads}")  # read once, when NumPy is imported',
        "",
        *_merged(names - standard),
    ]


_STANDARD = {
    "argparse", "collections", "contextlib", "copy", "dataclasses", "enum", "functools", "gzip", "hashlib", "importlib", "io", "itertools",
    "json", "math", "os", "pathlib", "pickle", "random", "re", "shlex", "statistics", "subprocess", "sys", "tempfile", "time", "types",
    "typing", "unicodedata", "warnings",
}  # fmt: skip
_OWN_IMPORTS = {
    "function": ("import sys",),
    "optuna": ("import sys", "import optuna"),
    "command": ("import shlex", "import subprocess", "import tempfile"),
    "differentiable": ("import sys", "import math", "import torch", "from torch.func import grad"),
}
_TABLE_IMPORTS = (
    "from statistics import fmean",
    "import warnings",
    "import joblib",
    "import numpy as np",
    "import polars as pl",
    "from sklearn.pipeline import Pipeline",
)


def _merged(statements: Iterable[str]) -> list[str]:
    """Import statements sorted, those from one module in one line where it fits."""
    plain = sorted(s for s in statements if s.startswith("import "))
    by_module: dict[str, list[str]] = {}
    for statement in statements:
        if statement.startswith("from "):
            module, _, name = statement.removeprefix("from ").partition(" import ")
            by_module.setdefault(module, []).append(name)
    out = list(plain)
    for module, names in sorted(by_module.items()):
        line = f"from {module} import {', '.join(sorted(names))}"
        if len(line) > WIDTH:
            line = f"from {module} import (\n" + "".join(f"    {n},\n" for n in sorted(names)) + ")"
        out.append(line)
    return out


def _held(brief: Brief) -> dict[str, Any]:
    """Family to the hyperparameters that have one value only, where there are any."""
    return {code.family: dict(code.held) for code in brief.spaces if code.held}


def _whole(brief: Brief) -> str:
    """An expression: ``config`` with what is not searched."""
    return "{**HELD.get(family, {}), **config}" if _held(brief) else "config"


def _settings(brief: Brief) -> str:
    held = _held(brief)
    lines = [
        f"DATA = {literal(brief.data)}" if isinstance(brief.subject, TableCode) and not brief.data.startswith("sklearn:") else "",
        *([f"{b.name} = {literal(b.path)}" for b in brief.subject.beside] if isinstance(brief.subject, TableCode) else []),
        f"SEED = {brief.seed}",
        f"SECONDS = {brief.seconds:g}",
        f"KEPT_SECONDS = {brief.end_seconds:g}  # of these for what follows the search",
        f"TRIALS = {brief.trials}  # None: the time decides",
        *([f"HELD = {literal(held)}  # hyperparameters that are not searched"] if held else []),
        f"SIGN = {1 if brief.direction == 'maximize' else -1}  # {brief.direction}",
    ]
    return "\n".join(line for line in lines if line)


# the table ------------------------------------------------------------------------------------------------------------


def _table(table: TableCode) -> list[str]:
    features = "".join(f"        *({expression} for name in {group}),\n" for group, (_, expression) in table.columns.items())
    extras = [
        (f"    order = table[{literal(table.order)}].arg_sort(nulls_last=False)  # the past predicts the future\n"
         "    features, target, table = features[order], target[order], table[order]\n") if table.order else "",
    ]  # fmt: skip
    blocks = [
        _TARGET[table.is_classification],
        *([f"FEATURES = {wrapped(table.features)}"] if len(table.columns) > 1 else []),
        f"SPELLINGS = {literal(table.spellings)}  # of a missing cell, where a column has its own",
        f'def read_table() -> pl.DataFrame:\n    """The table as it is written."""\n{_indented(table.reading)}',
        "\n".join(f"{group} = {wrapped(names)}" for group, (names, _) in table.columns.items()),
        *(
            f'def read_{b.name.casefold()}() -> pl.DataFrame:\n    """The rows to {b.name.casefold()} on, as they are written."""\n'
            f"{_indented(b.reading)}"
            for b in table.beside
        ),
        (_FEATURES_BESIDE if table.beside else _FEATURES).format(
            names="FEATURES" if len(table.columns) > 1 else next(iter(table.columns)),
            features=features,
            target=literal(table.target),
            coded=_coded(table),
            order="".join(extras),
        ),
        (_rows_beside(table) if table.beside else _ROWS_ALONE)
        + _ROWS.format(
            groups=f"np.asarray(TABLE[{literal(table.group)}].to_list(), dtype=object)" if table.group else "None",
            times=f"TABLE[{literal(table.order)}].rle_id().to_numpy()" if table.order else "None",
            weight=f"TABLE[{literal(table.weights)}].cast(pl.Float64).to_numpy()" if table.weights else "None",
        ),
        f"# No choice ever sees the held-out rows.\nDEVELOPMENT, HELDOUT = {table.heldout}\n"
        "if len(HELDOUT):\n    DEVELOPMENT, HELDOUT = np.sort(DEVELOPMENT), np.sort(HELDOUT)",
        f'def folds(is_fresh: bool = False) -> list[tuple[Any, Any]]:\n    """Training and test rows of every fold; the fresh ones '
        f'decide what is shipped."""\n{_indented(table.splits)}\n\n\nFOLDS = folds()',
        _PREDICTIONS[table.prediction],
        f'def score(y: Any, p: Any, weight: Any = None) -> float:\n    """{table.metric}."""\n    return float({table.score})',
    ]
    blocks += [_builder(model) for model in table.models]
    named = ", ".join(f"{literal(m.family)}: {_name(m.family)}" for m in table.models)
    weighted = tuple(m.family for m in table.models if m.supports_weights)
    blocks.append(f"MODELS = {{{named}}}\nWEIGHTED = {literal(weighted)}  # families whose fit takes weights")
    steps = {m.trains_in_steps for m in table.models}
    blocks.append(_FIT)
    if False in steps:
        blocks.append(_BY_FOLD)
    if True in steps:
        blocks.append(_BY_EPOCH)
    if steps == {True, False}:
        trained = tuple(m.family for m in table.models if m.trains_in_steps)
        blocks.append(_EITHER.format(trained=literal(trained)))
    else:
        blocks.append("measure = by_epoch" if True in steps else "measure = by_fold")
    return blocks


def _builder(model: ModelCode) -> str:
    """The function that builds one family's pipeline."""
    if model.model == model.refit:
        chosen = f"    model = {_indented(model.model).lstrip()}\n"
    else:
        chosen = f"    if is_final:\n        model = {model.refit}\n    else:\n        model = {model.model}\n"
    return (
        f"def {_name(model.family)}(config: dict[str, Any], is_final: bool = False) -> Pipeline:\n"
        '    """The whole pipeline: what is learned from rows is learned inside the fold."""\n'
        f"    columns = {_indented(model.preprocessing).lstrip()}\n{chosen}"
        '    return Pipeline([("columns", columns), ("model", model)])'
    )


def _rows_beside(table: TableCode) -> str:
    """Statements that put the rows of all files below each other, with the number of those of each."""
    names = ["DATA", *(b.name for b in table.beside)]
    kept = [n for n in (table.group, table.order, table.weights) if n is not None]
    lines = ["PARTS = [features_and_target(read_table())]"]
    lines += [f"PARTS.append(features_and_target(read_{b.name.casefold()}(), PARTS[0][2]))" for b in table.beside]
    lines += [
        'X = pl.concat([part[0] for part in PARTS], how="vertical_relaxed")',
        "Y, LABELS = np.concatenate([part[1] for part in PARTS]), PARTS[0][2]",
        f'TABLE = pl.concat([part[3].select({literal(kept)}) for part in PARTS], how="vertical_relaxed")' if kept else "",
        f"{', '.join(f'{n}_ROWS' for n in names)} = (len(part[1]) for part in PARTS)",
        "SCORING = np.arange(DATA_ROWS, DATA_ROWS + VALID_ROWS)  # score every configuration" if table.is_scored_beside else "",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _coded(table: TableCode) -> str:
    if not table.is_classification:
        return "    return features, target.to_numpy().astype(np.float64), (), table"
    rarer = (
        "    if (target == labels[0]).sum() < (target == labels[1]).sum():\n"
        "        labels = labels.reverse()  # the rarer class is the positive one\n"
        if table.is_binary
        else ""
    )
    found = f"    labels = target.unique().sort()\n{rarer}"
    if table.beside:
        found = f"    if not len(labels):\n{_indented(found)}\n"
    return (
        f"{found}"
        "    codes = {label: code for code, label in enumerate(labels)}\n"
        "    return features, np.array([codes[label] for label in target], dtype=np.int64), tuple(labels), table"
    )


_TARGET = {
    True: '''def target_of(column: pl.Series) -> pl.Series:
    """Labels as text, null where there is none."""
    labels = _as_strings(column).str.strip_chars()
    return pl.select(pl.when(~is_missing(labels, is_target=True)).then(labels)).to_series().alias(column.name)''',
    False: '''def target_of(column: pl.Series) -> pl.Series:
    """Numbers, null where there is none."""
    return numbers_of(column)''',
}
_FEATURES = '''def features_and_target() -> tuple[pl.DataFrame, Any, tuple[Any, ...], pl.DataFrame]:
    """Typed features, the target as codes or numbers, the labels, and the table without rows that lack a target."""
    table = read_table()
    target = target_of(table[{target}])
    table, target = table.filter(target.is_not_null()), target.drop_nulls()
    columns = [
{features}    ]
    features = pl.DataFrame(columns).select({names})
{order}{coded}'''
_FEATURES_BESIDE = (
    _FEATURES.replace("def features_and_target() ->", "def features_and_target(table: pl.DataFrame, labels: Any = ()) ->")
    .replace("    table = read_table()\n", "")
    .replace("the labels, and", "the labels (those given where there are any), and")
)
_ROWS_ALONE = "X, Y, LABELS, TABLE = features_and_target()\n"
_ROWS = """GROUPS = {groups}
TIMES = {times}
WEIGHT = {weight}"""
_PREDICTIONS = {
    "probability": '''def predict(pipeline: Any, rows: Any) -> Any:
    """Probabilities (rows, classes); a class that was not seen gets 0."""
    p = np.asarray(pipeline.predict_proba(rows), dtype=np.float64)
    if p.shape[1] < len(LABELS):
        p, seen = np.zeros((len(p), len(LABELS))), p
        p[:, np.asarray(pipeline.classes_, dtype=int)] = seen
    return p''',
    "label": '''def predict(pipeline: Any, rows: Any) -> Any:
    """Codes of the labels."""
    return np.asarray(pipeline.predict(rows), dtype=np.float64).reshape(-1)''',
    "number": '''def predict(pipeline: Any, rows: Any) -> Any:
    """Numbers."""
    return np.asarray(pipeline.predict(rows), dtype=np.float64).reshape(-1)''',
}
_FIT = '''def fitted(family: str, config: dict[str, Any], rows: Any, is_final: bool = False) -> Pipeline:
    """The family's pipeline, fitted on `rows`."""
    weight = {} if WEIGHT is None or family not in WEIGHTED else {"model__sample_weight": WEIGHT[rows]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[family](config, is_final).fit(X[rows], Y[rows], **weight)


def scored(pipeline: Pipeline, rows: Any) -> float:
    """The score of `rows`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = predict(pipeline, X[rows])
    if not np.isfinite(p).all():
        raise ValueError("the model predicts numbers that are not finite")
    return score(Y[rows], p, None if WEIGHT is None else WEIGHT[rows])'''
_BY_FOLD = '''def by_fold(family: str, config: dict[str, Any], pairs: Any = None) -> Any:
    """After each fold: its number, the mean so far, and the scores so far."""
    scores: list[float] = []
    for train, test in FOLDS if pairs is None else pairs:
        scores.append(scored(fitted(family, config, train), test))
        yield len(scores), fmean(scores), tuple(scores)'''
_BY_EPOCH = '''def begun(family: str, config: dict[str, Any], pairs: Any) -> list[Any]:
    """For each fold the network, its training before the first epoch, the test rows as it sees them, and which they are."""
    trainings = []
    for train, test in pairs:
        pipeline = MODELS[family](config)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            learned = pipeline.steps[0][1].fit_transform(X[train], Y[train])
            seen = pipeline.steps[0][1].transform(X[test])
        network = pipeline.steps[-1][1]
        training = network.begin(learned, Y[train], None if WEIGHT is None else WEIGHT[train])
        trainings.append((network.adopt(training), training, seen, test))
    return trainings


def epoch_of(trainings: list[Any]) -> tuple[float, ...]:
    """The scores of all folds after one epoch more."""
    scores = []
    for network, training, seen, test in trainings:
        training.run_epoch()
        p = predict(network, seen)
        if not np.isfinite(p).all():
            raise ValueError(f"diverged: predictions are not finite after epoch {training.epoch}")
        scores.append(score(Y[test], p, None if WEIGHT is None else WEIGHT[test]))
    return tuple(scores)


def by_epoch(family: str, config: dict[str, Any], pairs: Any = None) -> Any:
    """After each epoch of all folds side by side: its number, the mean over folds, and the fold scores."""
    trainings = begun(family, config, FOLDS if pairs is None else pairs)
    while not trainings[0][1].is_done:
        scores = epoch_of(trainings)
        yield trainings[0][1].epoch, fmean(scores), scores'''
_EITHER = '''def measure(family: str, config: dict[str, Any], pairs: Any = None) -> Any:
    """Steps of a trial: epochs of a network, folds of everything else."""
    return by_epoch(family, config, pairs) if family in {trained} else by_fold(family, config, pairs)'''

# an objective of the user's own ------------------------------------------------------------------------------------------


def _own(own: OwnCode, whole: str) -> list[str]:
    """`whole` is the configuration of a member of a population; empty where there is none."""
    last = None if own.fidelity is None else own.fidelity[2]
    body = _OWN_MEASURE[own.kind]
    if own.kind == "function" and whole:
        return [f"{own.code}\nLAST_STEP = {last}", _OWN_TRAINING.replace("{call}", own.resumed.replace("config", whole, 1))]
    if own.kind == "function":
        return [f"{own.code}\nLAST_STEP = {last}", body.replace("{call}", own.call)]
    if own.kind == "command":
        steps = "" if own.fidelity is None else f'"{own.fidelity[0]}": "{last}"'
        return [own.code, body.format(fidelity=steps)]
    return [own.code, body]


def _differentiable(brief: Brief, own: OwnCode) -> list[str]:
    return [f"{own.code}\n{differentiable(brief)}"]


_TABLE_TRAINING = '''def training(family: str, config: dict[str, Any], checkpoint: Any = None) -> Any:
    """The epochs of one model, from `checkpoint` on: number, value, and a function that gives the checkpoint."""
    trainings = begun(family, {config}, FOLDS)
    for (_, one, _, _), state in zip(trainings, checkpoint or ()):
        one.restore(state)
    while not trainings[0][1].is_done:
        value = fmean(epoch_of(trainings))
        yield trainings[0][1].epoch, value, lambda: [one.state() for _, one, _, _ in trainings]'''
_OWN_TRAINING = '''def training(family: str, config: dict[str, Any], checkpoint: Any = None) -> Any:
    """The steps of one model, from `checkpoint` on: number, value, and the checkpoint or a function that gives it."""
    for measurement in {call}:
        yield int(measurement.step), float(measurement.value), measurement.checkpoint


def measure(family: str, config: dict[str, Any]) -> Any:
    """Steps of a trial: its number, the value so far, and no scores. What `course` holds takes over after its step."""
    first, checkpoint = {n: v for n, v in config.items() if n != "course"}, None
    course = [(0, first), *config.get("course", ())]
    for number, (_, current) in enumerate(course):
        end = course[number + 1][0] if number + 1 < len(course) else LAST_STEP
        for step, value, state in training(family, {**first, **current}, checkpoint):
            yield step, value, ()
            if step >= end:
                checkpoint = state() if callable(state) else state
                break'''
_OWN_MEASURE = {
    "function": '''def measure(family: str, config: dict[str, Any]) -> Any:
    """Steps of a trial: its number, the value so far, and no scores. A function that returns a number has one step."""
    found = {call}
    if not hasattr(found, "__next__"):
        yield 1, float(found), ()
        return
    try:
        while True:
            measurement = next(found)
            yield int(measurement.step), float(measurement.value), ()
            if LAST_STEP is not None and measurement.step >= LAST_STEP:
                return
    except StopIteration as stop:
        if stop.value is not None:  # a generator's last word is its score
            yield 0, float(stop.value), ()''',
    "command": '''def measure(family: str, config: dict[str, Any]) -> Any:
    """Steps of a trial: every line of JSON that the command prints, as {{"step": 3, "value": 0.41}}."""
    with tempfile.TemporaryDirectory() as folder:
        given = {{name: written(value) for name, value in config.items()}}
        given |= {{"seed": str(SEED), "checkpoint": os.path.join(folder, "checkpoint"), {fidelity}}}
        words: list[str] = []
        for word in shlex.split(COMMAND):
            try:
                words.append(word.format(**given))
            except KeyError:  # a parameter that does not hold here: its option goes with it
                if words and words[-1].startswith("-") and word.startswith("{{"):
                    words.pop()
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=FOLDER) as process:
            try:
                for line in process.stdout or ():
                    if line.lstrip().startswith("{{"):
                        said = json.loads(line)
                        yield int(said.get("step", 0)), float(said["value"]), ()
            except GeneratorExit:
                process.terminate()
                raise
        if process.returncode:
            raise RuntimeError(f"the command ended with {{process.returncode}}")


def written(value: Any) -> str:
    """A value as an argument."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)''',
    "optuna": '''class Watched(optuna.trial.FixedTrial):
    """A trial of Optuna's with its parameters given, whose reports are watched."""

    def __init__(self, config: dict[str, Any], observe: Any) -> None:
        super().__init__(config)
        self.observe, self.steps, self.is_behind, self.shift = observe, [], False, None

    def report(self, value: float, step: int) -> None:
        """Takes down the step, counted from 1."""
        self.shift = (1 if step == 0 else 0) if self.shift is None else self.shift
        step += self.shift
        if not self.steps or step > self.steps[-1][0]:
            self.steps.append((step, float(value)))
            self.is_behind = self.observe is not None and self.observe(step, float(value))

    def should_prune(self) -> bool:
        """True once others do better."""
        return self.is_behind


def measure(family: str, config: dict[str, Any], observe: Any = None) -> Any:
    """One step: the objective runs in full, or until it is told to prune."""
    trial = Watched(config, observe)
    try:
        value = float(objective(trial))
    except optuna.TrialPruned:
        return trial.steps, trial.steps[-1][1], "pruned"
    return trial.steps or [(1, value)], value, "completed"''',
}


# the log and the end --------------------------------------------------------------------------------------------------

_TRIAL = "    trial: dict[str, Any] = dict("
_HELD_TRIAL = "    config = {**HELD.get(family, {}), **config}\n" + _TRIAL
_PULL = """        for step, value, scores in measure(family, config):
            trial |= {"value": value, "scores": scores}
            if step == 0:
                break  # the score of the trial, where it is not that of its last step
            trial["steps"].append((step, value))
            if observe is not None and observe(step, value):
                trial["status"] = "pruned"
                break
"""
_PULL_OPTUNA = """        trial["steps"], value, trial["status"] = measure(family, config, observe)
        trial["value"] = value
"""

_LOG = '''BEGAN = time.monotonic()
DONE: list[dict[str, Any]] = []
"""Every trial, in order."""
OPTIONS = argparse.Namespace(trials=TRIALS, seconds=SECONDS, log=None)


def is_over() -> bool:
    """True when the search must end: its time or its trials are used up."""
    late = time.monotonic() - BEGAN >= OPTIONS.seconds - min(KEPT_SECONDS, 0.5 * OPTIONS.seconds)
    return late or (OPTIONS.trials is not None and len(DONE) >= OPTIONS.trials)


def run_trial(stage: str, family: str, config: dict[str, Any], observe: Any = None) -> dict[str, Any]:
    """Runs one trial, writes it down and prints it. `observe(step, value)` answers True to stop it early."""
    trial: dict[str, Any] = dict(number=len(DONE), stage=stage, family=family, config=config, status="completed", steps=[])
    try:
{pull}        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"the value {value} is no finite number")
    except Exception as error:  # one bad configuration does not end the search
        trial |= {"status": "failed", "value": None, "cause": f"{type(error).__name__}: {error}"}
    DONE.append(trial)
    said = f"{trial['number']:>4}  {trial['status']:<9}  {trial['value']}  {family} {config} {trial.get('cause', '')}"
    print(said, flush=True)
    if OPTIONS.log:
        with open(OPTIONS.log, "a") as file:
            file.write(json.dumps(trial, default=str) + "\\n")
    return trial


def best(family: str | None = None, stages: tuple[str, ...] = ()) -> dict[str, Any]:
    """The best trial that ran in full, the earliest of equals; of one family or of some stages where they are named."""
    full = [t for t in DONE if t["status"] == "completed" and family in (None, t["family"]) and (not stages or t["stage"] in stages)]
    if not full:
        raise SystemExit("no trial has ended in full: " + "; ".join({t.get("cause", t["status"]) for t in DONE}))
    return max(full, key=lambda t: (SIGN * t["value"], -t["number"]))'''


def _log(brief: Brief) -> str:
    text = _LOG.replace("{pull}", _PULL_OPTUNA if _is_optuna(brief) else _PULL)
    return _for_parts(brief, text.replace(_TRIAL, _HELD_TRIAL) if _held(brief) else text)


def _for_parts(brief: Brief, text: str) -> str:
    """`text` where some trials have a part of the rows only: these are never the best."""
    if all(s.ladder is None for s in brief.stages):
        return text
    for whole, part in _PARTS.items():
        text = text.replace(whole, part)
    return text


_PARTS = {
    't["status"] == "completed"': 't["status"] == "completed" and t["rows"] is None',
    "config: dict[str, Any], observe: Any = None) -> dict[str, Any]:": "config: dict[str, Any], observe: Any = None, "
    "rows: int | None = None, pairs: Any = None) -> dict[str, Any]:",
    "True to stop it early.": "True to stop it early.\n\n    `rows` and `pairs`: a part of the rows, and the splits of it.\n    ",
    "steps=[])": "steps=[], rows=rows)",
    "in measure(family, config):": "in measure(family, config, pairs):",
    "{family} {config} {trial.get(": "{family} {config} {rows or 'all'} rows {trial.get(",
}


def _end(brief: Brief) -> list[str]:
    assert isinstance(brief.subject, TableCode)
    ship = _SHIP.format(target=literal(brief.subject.target))
    if any(b.name == "TEST" for b in brief.subject.beside):
        ship = ship.replace("on all rows and", "on all rows but those to test on and").replace(
            "np.arange(len(Y))", "np.arange(len(Y) - TEST_ROWS)"
        )
    return [_for_parts(brief, _CONFIRM), ship]


_CONFIRM = '''def confirm() -> dict[str, Any]:
    """The trial that is shipped: the default and the best few are scored again on fresh splits, and the best mean wins."""
    full = sorted((t for t in DONE if t["status"] == "completed"), key=lambda t: (-SIGN * t["value"], t["number"]))
    default = DONE[0] if DONE[0]["status"] == "completed" else full[0]
    chosen = [default]
    for trial in full:
        is_new = all((trial["family"], trial["config"]) != (c["family"], c["config"]) for c in chosen)
        if is_new and len(chosen) <= (1 if len(full) < 15 else 4):
            chosen.append(trial)
    fresh = folds(is_fresh=True)
    means = []
    for trial in chosen:
        *_, (_, mean, _) = measure(trial["family"], trial["config"], fresh)
        means.append(mean)
        print(f"      fresh splits  {mean}  {trial['family']} {trial['config']}")
    # The default comes first, so that it wins a tie.
    return chosen[max(range(len(chosen)), key=lambda i: (SIGN * means[i], -i))]'''
_SHIP = '''def ship(path: str) -> None:
    """Scores the held-out rows once, then fits the winner on all rows and saves it."""
    winner, default = confirm(), DONE[0]
    if len(HELDOUT):
        for name, trial in (("shipped", winner), ("default", default)):
            print(f"held-out score, {{name}}: {{scored(fitted(trial['family'], trial['config'], DEVELOPMENT), HELDOUT)}}")
    model = fitted(winner["family"], winner["config"], np.arange(len(Y)), is_final=True)
    joblib.dump({{"pipeline": model, "labels": LABELS, "target": {target}}}, path)
    print(f"{{winner['family']}} {{winner['config']}} saved to {{path}}")'''
_OWN_END = '''def ship(path: str) -> None:
    """Writes the best configuration."""
    winner = best()
    with open(path, "w") as file:
        json.dump({"config": winner["config"], "value": winner["value"]}, file, default=str)
    print(f"best: {winner['value']} with {winner['config']}, saved to {path}")'''


_SCHEDULED = ('"value": winner["value"]}', '"value": winner["value"], "schedule": winner.get("schedule", [])}')
"""The last configuration of a member did not train it alone."""


def _main(search: Search) -> str:
    lines = "".join(f"    {call}\n" for call in search.calls)
    more = "".join(f"    options.add_argument({option})\n" for option in search.options)
    return f'''def main() -> None:
    """The race, the search, and what is shipped."""
    options = argparse.ArgumentParser(description="Tunes without the advisor.")
    options.add_argument("--trials", type=int, default=TRIALS, help="trials at most")
    options.add_argument("--seconds", type=float, default=SECONDS, help="the whole time")
    options.add_argument("--log", help="a file for one line of JSON a trial")
    options.add_argument("--out", default="best.out", help="where the result is saved")
{more}    options.parse_args(namespace=OPTIONS)
{lines}    ship(OPTIONS.out)


if __name__ == "__main__":
    main()'''


# code -----------------------------------------------------------------------------------------------------------------


def _indented(text: str, by: str = "    ") -> str:
    return "\n".join(by + line if line else "" for line in text.strip("\n").split("\n"))


def _name(family: str) -> str:
    return "build_" + "".join(c if c.isalnum() else "_" for c in family)


def _plain(text: str) -> str:
    """`text` for a docstring: no quotation marks that would end it, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in text).replace("\\", "/").replace('"""', "'''")
