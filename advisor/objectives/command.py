"""A command line as the objective: a program in any language that prints a JSON line a step."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import shlex
import shutil
import signal
import string
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from advisor.core.errors import AdvisorError, CannotRunError, InputError, nearest
from advisor.core.objective import Fidelity, Kind
from advisor.core.ports import Measurement
from advisor.core.space import Config, SearchSpace

GRACE_SECONDS = 5.0
"""How long a command that is told to end (SIGTERM) may take before it is killed. [H]"""
_LOOK_SECONDS = 0.2
"""How often a silent command is looked at."""
_DRAIN_SECONDS = 1.0
"""How long the output of a command that has ended is read on, where a child of its holds the pipe."""
_MOST_BYTES = 1 << 20
"""Longest line that may be a measurement."""
_TAIL_LINES = 8
"""Last lines of the output that a failure shows."""
_MOST_TAIL = 500
"""Characters of such a line."""


class CommandFailedError(AdvisorError):
    """The command ended badly; `detail` holds its last lines."""

    def __init__(self, what: str, *, detail: str, cure: str) -> None:
        super().__init__(what, where="command", cure=cure)
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        return (_failed, (self.what, self.detail, self.cure))


def _failed(what: str, detail: str, cure: str) -> CommandFailedError:
    return CommandFailedError(what, detail=detail, cure=cure)


@dataclass(frozen=True, slots=True)
class _Word:
    """One argument of the command: texts and names in turn, the first a text."""

    parts: tuple[tuple[str, str | None], ...]
    """Text, and the name of the placeholder after it."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.parts if name is not None)

    @property
    def is_bare_option(self) -> bool:
        return not self.names and self.parts[0][0].startswith("-") and "=" not in self.parts[0][0] if self.parts else False

    @property
    def is_bare_value(self) -> bool:
        return len(self.names) == 1 and all(not text for text, _ in self.parts)

    def filled(self, values: Mapping[str, str]) -> str:
        return "".join(text + (values[name] if name is not None else "") for text, name in self.parts)


class CommandObjective:
    """An objective that runs `command` once a trial: ``objective(config, checkpoint=None)`` yields what it prints.

    `command` is split as a shell would (``python train.py --lr {lr}``), or is a sequence of arguments; no shell ever sees it, and
    a value is one argument, or part of one, whatever characters it holds. Placeholders are the names of `parameters`, each at
    least once, and

    - ``{checkpoint}``: a path of the trial's own, not there at first. The command writes its state to it after each step
      (to another name first, then renamed) and, when it finds something there, goes on from it;
    - ``{epoch}``, or whatever `fidelity` is called: how many steps a full trial has;
    - ``{seed}``: the same number in all trials.

    A literal brace is doubled. Numbers are written in full; True, False and None as ``true``, ``false`` and ``none``. Where a
    conditional parameter is not part of a configuration its argument is left out, and the option before it (``--momentum
    {momentum}``).

    The command prints a line ``{"step": 3, "value": 0.41}`` after each step, flushed, steps counted from 1; a line with a value and
    no step is the score of the trial. Other output is passed over; the last of it is shown when the command fails. Pruning
    ends its process group: SIGTERM, then SIGKILL after `grace_seconds`. Checkpoints are kept below `folder`,
    or where `keep_in` says.

    Raises: InputError when the template and the parameters do not fit; CannotRunError when there is no such program.
    """

    kind: ClassVar[Kind] = "command"
    """What brings the objective."""

    def __init__(
        self,
        command: str | Sequence[str],
        parameters: SearchSpace | Iterable[str],
        *,
        fidelity: Fidelity | None = None,
        seed: int = 0,
        folder: str | Path | None = None,
        working_folder: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        names = tuple(name for name, _ in parameters.items()) if isinstance(parameters, SearchSpace) else tuple(parameters)
        self.space = parameters if isinstance(parameters, SearchSpace) else None
        """The space it was made for."""
        self.command = command if isinstance(command, str) else shlex.join(command)
        self.seed, self.grace_seconds = seed, grace_seconds
        self.working_folder = str(Path(working_folder if working_folder is not None else os.curdir).absolute())
        self.environment = dict(environment or {})
        self._words = tuple(_word(argument) for argument in _split(command))
        self.name = _name(self._words)
        """What to call it: the script, else the program."""
        self._fixed = {"seed": str(seed)}
        if fidelity is not None:
            self._fixed.setdefault(fidelity.name, str(fidelity.high))
        self._fixed = {name: text for name, text in self._fixed.items() if name not in names}
        used = {name for word in self._words for name in word.names}
        self.is_resumable = "checkpoint" in used
        """True when the command is given a path to keep its state in."""
        self._last: str | None = None
        self._check(names, used, fidelity)
        self._is_own_folder = folder is None
        self._folder: str | None = None
        if self.is_resumable:
            self._folder = self._temporary_folder() if folder is None else str(Path(folder).absolute())

    def _check(self, names: tuple[str, ...], used: set[str], fidelity: Fidelity | None) -> None:
        where = "--command"
        if "checkpoint" in names:
            raise InputError(
                "a parameter is named 'checkpoint', which is the path of a trial's state", where=where, cure="Give it another name."
            )
        known = (*names, "checkpoint", *self._fixed)
        for name in sorted(used):
            if name not in known:
                steps = " (it needs a fidelity)" if fidelity is None and name in ("epoch", "epochs", "step", "steps") else ""
                raise InputError(
                    f"the command has a placeholder {{{name}}} that means nothing{steps}", where=where, cure=nearest(name, known)
                )
        missing = [name for name in names if name not in used]
        if missing:
            listed = ", ".join(f"{{{name}}}" for name in missing)
            cure = f"Add it, such as `--{missing[0].replace('_', '-')} {{{missing[0]}}}`, or take it out of the space."
            raise InputError(f"the command does not say where {listed} goes, so tuning it would change nothing", where=where, cure=cure)
        program = self._words[0]
        if program.names:
            raise InputError(f"the program itself is the placeholder {{{program.names[0]}}}", where=where, cure="Begin with a program.")
        self._find(program.filled({}))

    def _find(self, program: str) -> None:
        if not Path(self.working_folder).is_dir():
            raise InputError(f"there is no folder {self.working_folder}", where="working_folder", cure="Name an existing folder.")
        path = str(Path(self.working_folder) / program) if os.sep in program else program
        found = shutil.which(path, path={**os.environ, **self.environment}.get("PATH"))
        if found is None:
            raise CannotRunError(
                f"there is no program {program!r}",
                where="--command",
                cure="Install it, or give its path; a script needs its interpreter first.",
            )

    def _temporary_folder(self) -> str:
        made = tempfile.mkdtemp(prefix="advisor-command-")
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        return made

    def keep_in(self, folder: str | Path) -> None:
        """Keeps checkpoints below `folder` from here on, unless another was named when this was made.

        Without either they are in a temporary folder, which goes with the process that made this.
        """
        if self._folder is not None and self._is_own_folder:
            self._folder = str(Path(folder).absolute())

    def __call__(self, config: Config, checkpoint: Any = None) -> Generator[Measurement, None, float | None]:
        """Measurements as the command prints them. Closing ends the command.

        `checkpoint` is what a measurement of this objective gave; the trial goes on from a copy of it. What the command had
        printed already when it was taken comes first; a step that it repeats is passed over.

        Raises, when pulled: CommandFailedError when the command ends badly or prints no value; InputError when the checkpoint
        is gone, or is none of this objective's.
        """
        if checkpoint is not None and not isinstance(checkpoint, CommandCheckpoint):
            raise InputError(
                f"a {type(checkpoint).__name__} is no checkpoint of a command", where="checkpoint", cure="Start the trial again."
            )
        path = self._checkpoint_path(checkpoint)
        self._forget_last()
        try:
            answer = yield from self._steps(config, path, checkpoint)
            self._keep_last(path)
            return answer
        finally:
            if path is not None:
                _remove(path)

    @property
    def save_last(self) -> Callable[[str], None] | None:
        """Writes what the last trial that ran in full had left as its checkpoint; a folder becomes a tar archive.

        None where the command is given no checkpoint.
        """
        return self._save_last if self.is_resumable else None

    def _save_last(self, path: str) -> None:
        if self._last is None:
            raise InputError("the command has written no checkpoint", where="{checkpoint}", cure="Write the state to that path.")
        if Path(self._last).is_dir():
            with tarfile.open(path, "w") as archive:
                archive.add(self._last, arcname="checkpoint")
        else:
            shutil.copyfile(self._last, path)

    def _keep_last(self, path: Path | None) -> None:
        if path is not None and path.exists():
            kept = path.with_name(f"last-{uuid.uuid4().hex}")
            path.rename(kept)
            self._last = str(kept)

    def _forget_last(self) -> None:
        if self._last is not None:
            _remove(Path(self._last))
            self._last = None

    def arguments(self, config: Config, checkpoint: str | Path | None = None) -> list[str]:
        """The command of `config`, argument by argument."""
        values = {**self._fixed, **{name: _text(value) for name, value in config.items()}}
        if checkpoint is not None:
            values["checkpoint"] = str(checkpoint)
        kept: list[str] = []
        previous: _Word | None = None
        for word in self._words:
            if all(name in values for name in word.names):
                kept.append(word.filled(values))
                previous = word
            else:
                if word.is_bare_value and previous is not None and previous.is_bare_option:
                    kept.pop()
                previous = None
        return kept

    def _steps(self, config: Config, path: Path | None, earlier: CommandCheckpoint | None) -> Generator[Measurement, None, float | None]:
        done = 0 if earlier is None else earlier.step
        last = None if earlier is None else earlier.value
        with _Process(self.arguments(config, path), self) as process:
            for step, value in () if earlier is None else earlier.ahead:
                yield self._measured(step, value, process, path)
                done, last = step, None
            has_stepped = False
            for line in process.lines():
                said = _measurement(line)
                if said is None:
                    process.note(line)
                    continue
                if "step" not in said:
                    last = said["value"]
                    continue
                has_stepped = True
                if earlier is None or not isinstance(said["step"], int) or said["step"] > done:
                    last = None
                    yield self._measured(said["step"], said["value"], process, path)
            process.check(has_value=has_stepped or last is not None or earlier is not None)
        if earlier is None and not has_stepped and last is not None:
            yield Measurement(step=1, value=last)
        return last

    def _measured(self, step: Any, value: Any, process: _Process, path: Path | None) -> Measurement:
        if path is None or self._folder is None:
            return Measurement(step=step, value=value)
        return Measurement(step=step, value=value, checkpoint=_Keeper(path, Path(self._folder), process, step, value))

    def _checkpoint_path(self, checkpoint: CommandCheckpoint | None) -> Path | None:
        if self._folder is None:
            return None
        Path(self._folder).mkdir(parents=True, exist_ok=True)
        path = Path(self._folder) / f"trial-{uuid.uuid4().hex}"
        if checkpoint is not None:
            try:
                _copy(Path(checkpoint.path), path)
            except FileNotFoundError:
                raise InputError(
                    "the checkpoint it goes on from is gone", where=checkpoint.path, cure="Leave the work folder of the run alone."
                ) from None
        return path


# -- the template --------------------------------------------------------------------------------------------------------


def _split(command: str | Sequence[str]) -> list[str]:
    if not isinstance(command, str):
        words = [str(word) for word in command]
    else:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise InputError(f"the command cannot be split: {error}", where="--command", cure="Close every quotation mark.") from None
    if not words:
        raise InputError("the command is empty", where="--command", cure="Write it as `python train.py --lr {lr}`.")
    return words


def _word(argument: str) -> _Word:
    cure = "Double the braces that are meant as such: {{ and }}."
    try:
        parts = tuple(string.Formatter().parse(argument))
    except ValueError as error:
        raise InputError(f"the braces of {argument!r} cannot be read: {error}", where="--command", cure=cure) from None
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if not name:
            raise InputError(f"{argument!r} has a placeholder without a name", where="--command", cure="Name a parameter in it, as {lr}.")
        if spec or conversion:
            raise InputError(
                f"{argument!r} wants a format of its own, and a value is passed in full",
                where="--command",
                cure=f"Write {{{name}}}, or: {cure}",
            )
    return _Word(tuple((text, name) for text, name, _, _ in parts))


def _name(words: Sequence[_Word]) -> str:
    texts = [word.filled({}) for word in words if not word.names]
    script = next((Path(t) for t in texts[1:] if not t.startswith("-") and Path(t).suffix), Path(texts[0] if texts else "command"))
    return script.stem


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def _measurement(line: str) -> dict[str, Any] | None:
    """The JSON object of a line that holds a value; None for all other output."""
    line = line.strip()
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and "value" in said else None


# -- checkpoints ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandCheckpoint:
    """What a command had written when it was looked at, and what it had printed by then: it runs ahead of who pulls it."""

    path: str
    """The copy."""
    step: int
    """The last step that was pulled."""
    value: float
    """Its value."""
    ahead: tuple[tuple[int, float], ...] = ()
    """Steps that were printed and not pulled, with their values."""


@dataclass(frozen=True)
class _Keeper:
    """Called for the checkpoint of a running trial, which stands still meanwhile."""

    path: Path
    folder: Path
    process: _Process
    step: int
    value: float

    def __call__(self) -> CommandCheckpoint | None:
        """The checkpoint; None when nothing is written yet, so that whoever goes on begins at the start."""
        kept = self.folder / f"kept-{uuid.uuid4().hex}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.process.standing_still() as printed:
            try:
                _copy(self.path, kept)
            except FileNotFoundError:
                return None
            said = [m for m in map(_measurement, printed) if m is not None and isinstance(m.get("step"), int)]
        return CommandCheckpoint(str(kept), self.step, self.value, tuple((m["step"], m["value"]) for m in said))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


# -- the process ---------------------------------------------------------------------------------------------------------


class _Process:
    """A command in a process group of its own; leaving the block ends the group."""

    def __init__(self, arguments: Sequence[str], objective: CommandObjective) -> None:
        self._grace_seconds = objective.grace_seconds
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._errors: deque[str] = deque(maxlen=_TAIL_LINES)
        try:
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=objective.working_folder,
                env={**os.environ, **objective.environment},
                process_group=0,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL character
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise CommandFailedError(
                f"the command cannot be started: {said}", detail=shlex.join(arguments), cure="Try it by hand with these values."
            ) from None
        self._arguments = arguments
        self._printed: deque[str] = deque()
        self._ready = selectors.DefaultSelector()
        self._buffers: dict[int, bytearray] = {}
        for pipe, name in ((self._popen.stdout, "out"), (self._popen.stderr, "err")):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._ready.register(pipe.fileno(), selectors.EVENT_READ, name)
            self._buffers[pipe.fileno()] = bytearray()
        _LIVE.add(self._popen)

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_exception: object) -> None:
        _end(self._popen, self._grace_seconds)
        self._ready.close()
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()
        _LIVE.discard(self._popen)

    def lines(self) -> Generator[str, None, None]:
        """What it prints, line by line, until it has ended; its standard error is read beside."""
        ended: float | None = None
        while True:
            while self._printed:
                yield self._printed.popleft()
            if not self._ready.get_map():
                return
            found = self._pump(_LOOK_SECONDS)
            if _has_ended(self._popen):
                ended = time.monotonic() if ended is None else ended
                if not found or time.monotonic() - ended > _DRAIN_SECONDS:  # a child of its holds the pipe: not waited for
                    yield from self._printed
                    return

    @contextlib.contextmanager
    def standing_still(self) -> Generator[Sequence[str], None, None]:
        """Stops the whole group for as long as the block lasts; gives the lines that are printed and not yet taken."""
        _signal(self._group, signal.SIGSTOP)
        try:
            give_up = time.monotonic() + _DRAIN_SECONDS
            while not _stands_still(self._popen) and time.monotonic() < give_up:
                time.sleep(0.001)
            while self._pump(0):
                pass
            yield tuple(self._printed)
        finally:
            _signal(self._group, signal.SIGCONT)

    @property
    def _group(self) -> int | None:
        return self._popen.pid if self._popen.returncode is None else None

    def _pump(self, seconds: float) -> bool:
        """Takes in what there is to read, waiting at most so long for it; False when there is nothing."""
        found = self._ready.select(seconds) if self._ready.get_map() else []
        for key, _ in found:
            whole = self._read(key.fd)
            if key.data == "out":
                self._printed.extend(whole)
            else:
                self._errors.extend(line[:_MOST_TAIL] for line in whole)
        return bool(found)

    def _read(self, pipe: int) -> list[str]:
        buffer = self._buffers[pipe]
        try:
            chunk = os.read(pipe, 1 << 16)
        except BlockingIOError:
            return []
        if chunk:
            buffer += chunk
        else:
            self._ready.unregister(pipe)
            if buffer:
                buffer += b"\n"
        *whole, rest = bytes(buffer).split(b"\n")
        buffer[:] = rest if len(rest) <= _MOST_BYTES else b""
        return [line.decode(errors="replace").rstrip("\r") for line in whole if line.strip()]

    def note(self, line: str) -> None:
        """Keeps a line that is no measurement, for the case of a failure."""
        self._tail.append(line[:_MOST_TAIL])

    def check(self, *, has_value: bool) -> None:
        """Raises: CommandFailedError when the command did not end well, or without a value."""
        if not _waited(self._popen, self._grace_seconds):
            what = f"the command closed its output and did not end within {self._grace_seconds:g} s"
            raise CommandFailedError(what, detail=self._detail(), cure="Let it end after its last line.")
        code = _reap(self._popen)
        if code != 0:
            said = f"was killed by {_signal_name(-code)}" if code < 0 else f"left with exit code {code}"
            last = next((line for line in reversed([*self._tail, *self._errors]) if line.strip()), "")
            what = f"the command {said}" + (f": {last.strip()}" if last else "")
            raise CommandFailedError(what, detail=self._detail(), cure="Run it by hand, as the detail shows it.")
        if not has_value:
            cure = 'Print a line such as {"step": 1, "value": 0.41} after each step, flushed, or {"value": 0.41} at the end.'
            raise CommandFailedError("the command ended well and printed no value", detail=self._detail(), cure=cure)

    def _detail(self) -> str:
        return "\n".join([f"$ {shlex.join(self._arguments)}", *(self._errors or self._tail)])


_LIVE: set[subprocess.Popen[bytes]] = set()
"""Commands of this process that run."""


def _end(popen: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Ends the whole group: SIGTERM, SIGCONT for those that stand still, SIGKILL after the grace."""
    if popen.returncode is not None:
        return
    _signal(popen.pid, signal.SIGTERM)
    _signal(popen.pid, signal.SIGCONT)
    _waited(popen, grace_seconds)
    _reap(popen)


def _reap(popen: subprocess.Popen[bytes]) -> int:
    """The exit status of the command, after whatever is left of its group was killed.

    In this order: until it is reaped its number cannot be another group's.
    """
    _signal(popen.pid, signal.SIGKILL)
    return popen.wait()


def _waited(popen: subprocess.Popen[bytes], seconds: float) -> bool:
    """True when the command has ended within `seconds`; it is not reaped."""
    give_up = time.monotonic() + seconds
    pause = 0.001
    while not _has_ended(popen):
        if time.monotonic() >= give_up:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return True


def _has_ended(popen: subprocess.Popen[bytes]) -> bool:
    if popen.returncode is not None or not hasattr(os, "waitid"):  # macOS before Python 3.13
        return popen.poll() is not None
    return os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _stands_still(popen: subprocess.Popen[bytes]) -> bool:
    """True when it has ended or is stopped; a signal is on its way for a moment."""
    if popen.returncode is not None or not hasattr(os, "waitid"):
        return True
    return os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(group: int | None, number: signal.Signals) -> None:
    if group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@atexit.register
def _leave() -> None:
    """A process that ends while a trial stands still takes the command along."""
    for popen in list(_LIVE):
        _signal(popen.pid, signal.SIGKILL)
