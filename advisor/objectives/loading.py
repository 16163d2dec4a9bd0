"""An objective named by text: ``module:function`` or ``path/to/file.py:function``, with what its module says about it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import cloudpickle

from advisor.core.errors import InputError, nearest
from advisor.core.objective import Fidelity
from advisor.core.space import Config, SearchSpace
from advisor.objectives.spaces import space_from

_EXPORTS = ("SPACE", "FIDELITY", "DIRECTION", "STARTS")
"""Names that a module may say more with. Source: contract, Names."""


@dataclass(frozen=True, slots=True)
class LoadedObjective:
    """An objective and what its module exports beside it; None and empty: it exports nothing of the kind."""

    objective: Callable[..., Any]
    """What was named."""
    name: str
    """What to call it, ``module:function``."""
    space: SearchSpace | None = None
    """``SPACE``, in any form that `space_from` takes."""
    fidelity: Fidelity | None = None
    """``FIDELITY``."""
    direction: Literal["minimize", "maximize"] | None = None
    """``DIRECTION``."""
    starts: tuple[Config, ...] = ()
    """``STARTS``, configurations to try first."""

    @property
    def is_optuna(self) -> bool:
        """True when it has no space and takes a trial: the objective is Optuna's."""
        return self.space is None and takes_trial(self.objective)


def load_objective(spec: str) -> LoadedObjective:
    """The objective that `spec` names, and the exports of its module.

    The module is imported as ``python`` would: its own folder (a file's) or the working folder (a module's) comes first on the
    path and stays there, so that workers find it too. A file whose name is that of another module already, or is no name,
    travels to workers by value.

    Raises: InputError when there is no such module, file or attribute (with the nearest name), when importing it fails (with
    its own line), when what is named cannot be called, and when an export is not what its name says.
    """
    source, separator, attribute = spec.rpartition(":")
    if not separator or not source or not attribute:
        raise InputError(f"{spec!r} names no objective", where="objective", cure="Write module:function, or path/to/file.py:function.")
    module = _named_module(source)
    objective = _attribute(module, attribute, spec)
    return LoadedObjective(
        objective=objective,
        name=f"{Path(source).stem if _is_file(source) else source}:{attribute}",
        space=_space(module, spec),
        fidelity=_fidelity(module, spec),
        direction=_direction(module, spec),
        starts=_starts(module, spec),
    )


def load_named(spec: str) -> tuple[Any, ModuleType]:
    """Whatever `spec` names, ``module:name`` or ``path/to/file.py:name``, and the module it stands in.

    Raises: InputError when there is no such module, file or name, and when importing fails.
    """
    source, separator, attribute = spec.rpartition(":")
    if not separator or not source or not attribute:
        raise InputError(f"{spec!r} names nothing in a module", where=spec, cure="Write module:name, or path/to/file.py:name.")
    module = _named_module(source)
    return _walk(module, attribute, spec), module


def takes_trial(objective: Callable[..., Any]) -> bool:
    """True when `objective` is written for Optuna: its one required argument is named ``trial`` or is annotated as one."""
    try:
        parameters = list(inspect.signature(objective).parameters.values())
    except (TypeError, ValueError):
        return False
    required = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(required) != 1:
        return False
    said = required[0].annotation
    written = said if isinstance(said, str) else getattr(said, "__qualname__", "")
    return required[0].name == "trial" or written.rpartition(".")[2] in ("Trial", "BaseTrial", "FrozenTrial", "FixedTrial")


# -- the module ----------------------------------------------------------------------------------------------------------


def _is_file(source: str) -> bool:
    return source.endswith(".py") or "/" in source or "\\" in source


def _named_module(source: str) -> ModuleType:
    return _file_module(Path(source)) if _is_file(source) else _module(source)


def _module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"{name!r} is no name of a module", where="objective", cure="Write module:function, or path/to/file.py:function.")
    _first_on_path(Path.cwd())
    with _import_faults(name):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
                raise
            found = None
        if found is None:
            _refuse_absent(name)
        return importlib.import_module(name)
    raise AssertionError  # the block returns or raises


def _refuse_absent(name: str) -> None:
    beside = [p.stem for p in Path.cwd().glob("*.py")]
    if (Path.cwd() / f"{name.replace('.', '/')}.py").is_file():
        cure = f"Write {name.replace('.', '/')}.py:… for the file."
    else:
        cure = f"{nearest(name, beside)} It is looked for in {Path.cwd()} and among the installed packages.".strip()
    raise InputError(f"there is no module {name!r}", where="objective", cure=cure)


def _file_module(path: Path) -> ModuleType:
    try:
        path = path.expanduser().resolve()
        is_there = path.is_file()
    except (OSError, ValueError, RuntimeError):  # a NUL character; a loop of links; no such user
        is_there = False
    if not is_there:
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise InputError(f"there is no file {path}", where="objective", cure=nearest(path.name, beside) or "Name an existing Python file.")
    if path.suffix != ".py":
        raise InputError(f"{path.name} is no Python file", where="objective", cure="Name a file that ends in .py.")
    _first_on_path(path.parent)
    with _import_faults(str(path)):
        if path.stem.isidentifier() and _is_found_as(path.stem, path):
            return importlib.import_module(path.stem)
        name = f"objective_{sha256(str(path).encode()).hexdigest()[:12]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        cloudpickle.register_pickle_by_value(module)
        return module
    raise AssertionError  # the block returns or raises


def _is_found_as(name: str, path: Path) -> bool:
    """True when importing `name` gives this very file, here and in a worker."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return file is not None and Path(file).resolve() == path
    importlib.invalidate_caches()
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None and Path(found.origin).resolve() == path


def _first_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@contextmanager
def _import_faults(name: str) -> Iterator[None]:
    """What importing raises, with the line of the user's own code it came from."""
    try:
        yield
    except InputError:
        raise
    except SyntaxError as error:
        place = f"{error.filename}, line {error.lineno}"
        raise InputError(f"importing {name} failed: {type(error).__name__}: {error.msg}", where=place, cure="Correct that line.") from error
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and "importlib" not in f.filename]
        place = f"{frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line}" if frames else name
        said = " ".join(str(error).split())[:300]
        if isinstance(error, ModuleNotFoundError):
            cure = f"Install {error.name}, or correct the import."
        elif isinstance(error, SystemExit):
            cure = 'Put what should only run as a script below `if __name__ == "__main__":`.'
        else:
            cure = "Correct what the module does when it is imported."
        raise InputError(f"importing {name} failed: {type(error).__name__}: {said}", where=place, cure=cure) from error


# -- what it exports -----------------------------------------------------------------------------------------------------


def _walk(module: ModuleType, attribute: str, spec: str, *, is_called: bool = False) -> Any:
    """What stands under the dotted `attribute`. Raises: InputError with the nearest name, among what can be called where that is asked."""
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [n for n in dir(found) if not n.startswith("_") and (not is_called or callable(getattr(found, n, None)))]
            raise InputError(f"{getattr(found, '__name__', module.__name__)} has no {part!r}", where=spec, cure=nearest(part, known))
        found = getattr(found, part)
    return found


def _attribute(module: ModuleType, attribute: str, spec: str) -> Callable[..., Any]:
    found = _walk(module, attribute, spec, is_called=True)
    if inspect.isclass(found):
        cure = f"Make one in the module, as `objective = {attribute}(...)`, and name that."
        raise InputError(f"{attribute} is a class, and calling it makes an object, not a score", where=spec, cure=cure)
    if not callable(found) and not hasattr(found, "second_validation_loss"):  # a pair of differentiable losses is called by nobody
        cure = "Name a function of a configuration, or an Optuna objective."
        raise InputError(f"{attribute} is a {type(found).__name__}, which cannot be called", where=spec, cure=cure)
    return found  # type: ignore[no-any-return]


def _space(module: ModuleType, spec: str) -> SearchSpace | None:
    given = getattr(module, "SPACE", None)
    return None if given is None else space_from(given, where=f"SPACE of {spec.rpartition(':')[0]}")


def _fidelity(module: ModuleType, spec: str) -> Fidelity | None:
    given = getattr(module, "FIDELITY", None)
    if given is None or isinstance(given, Fidelity):
        return given
    raise InputError(f"FIDELITY is a {type(given).__name__}", where=spec, cure='Write FIDELITY = advisor.Fidelity("epoch", 1, 52).')


def _direction(module: ModuleType, spec: str) -> Literal["minimize", "maximize"] | None:
    given = getattr(module, "DIRECTION", None)
    if given is None or given in ("minimize", "maximize"):
        return given
    raise InputError(f"DIRECTION is {given!r}", where=spec, cure='Write DIRECTION = "minimize" or "maximize".')


def _starts(module: ModuleType, spec: str) -> tuple[Config, ...]:
    given = getattr(module, "STARTS", None)
    if given is None:
        return ()
    if isinstance(given, Sequence) and not isinstance(given, str | bytes) and all(isinstance(g, Mapping) for g in given):
        return tuple(dict(g) for g in given)
    raise InputError(f"STARTS is a {type(given).__name__}", where=spec, cure='Write it as a list of configurations: [{"lr": 1e-3}].')
