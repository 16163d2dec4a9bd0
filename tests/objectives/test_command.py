"""A command line as the objective: what it is given, what it prints, and that nothing of it is left behind."""

from __future__ import annotations

import json
import pickle
import shlex
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from advisor.core.errors import CannotRunError, InputError
from advisor.core.objective import Fidelity
from advisor.core.own import with_defaults
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.objectives.command import CommandFailedError, CommandObjective
from advisor.objectives.spaces import read_space
from advisor.supervise.evaluation import Died, Ended, Stepped, TrialRun

PYTHON = shlex.quote(sys.executable) + " -I -S"
LR = SearchSpace(parameters={"lr": Float(1e-5, 1.0, log=True)})
EPOCHS = Fidelity("epoch", 1, 5)


def script(folder: Path, body: str) -> str:
    """The command of a program with this body; it has json, os, signal, sys and time, and `say`."""
    path = folder / "train it.py"
    path.write_text(
        "import json, os, signal, sys, time\ndef say(**said): print(json.dumps(said), flush=True)\n" + body  # what a user's script would do
    )
    return f"{PYTHON} {shlex.quote(str(path))}"


def to_the_end(objective: Any, config: dict[str, Any], checkpoint: Any = None) -> tuple[list[Stepped], Ended | Died]:
    run = TrialRun(0, objective, config, checkpoint)
    steps: list[Stepped] = []
    while True:
        report = run.next()
        if not isinstance(report, Stepped):
            return steps, report
        steps.append(report)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def soon_gone(pid: int) -> bool:
    """A killed process is gone once the kernel has got round to it."""
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        if is_gone(pid):
            return True
        time.sleep(0.01)
    return False


def test_a_line_a_step_is_a_measurement_and_other_output_is_passed_over(tmp_path: Path) -> None:
    body = (
        "print('epoch', 1); print('{broken'); print('[1]'); print('{\"loss\": 3}')\n"
        "for n in (1, 2, 5): say(step=n, value=float(sys.argv[1]) / n)"
    )
    steps, end = to_the_end(CommandObjective(script(tmp_path, body) + " {lr}", LR), {"lr": 0.1})
    assert [(s.step, s.value) for s in steps] == [(1, 0.1), (2, 0.05), (5, 0.02)]
    assert isinstance(end, Ended)
    assert end.value == 0.02


def test_a_value_without_a_step_is_the_score_of_the_trial(tmp_path: Path) -> None:
    only, end = to_the_end(CommandObjective(script(tmp_path, "say(value=7)") + " {lr}", LR), {"lr": 0.1})
    assert [(s.step, s.value) for s in only] == [(1, 7.0)]
    assert isinstance(end, Ended)
    assert end.value == 7.0
    steps, end = to_the_end(CommandObjective(script(tmp_path, "say(step=1, value=3); say(value=2)") + " {lr}", LR), {"lr": 0.1})
    assert [(s.step, s.value) for s in steps] == [(1, 3.0)]
    assert isinstance(end, Ended)
    assert end.value == 2.0


def test_a_value_is_one_argument_whatever_it_holds_and_no_shell_sees_it(tmp_path: Path) -> None:
    space = SearchSpace(
        parameters={"name": Choice(["a b", "$(touch x); `id` \"'", "{lr}"]), "lr": Float(0, 1), "flag": Choice([True, None])}
    )
    out = tmp_path / "seen.json"
    body = f"json.dump(sys.argv[1:], open({str(out)!r}, 'w')); say(value=1)"
    objective = CommandObjective(
        script(tmp_path, body) + " --name {name} --pair={lr}:{flag} --json '{{\"lr\": {lr}}}' {seed} {epoch}",
        space,
        fidelity=EPOCHS,
        seed=3,
    )
    for name in space.parameters["name"].choices:  # type: ignore[union-attr]
        _, end = to_the_end(objective, {"name": name, "lr": 0.1 + 0.2, "flag": None})
        assert isinstance(end, Ended)
        number = repr(0.1 + 0.2)
        assert json.loads(out.read_text()) == ["--name", name, f"--pair={number}:none", "--json", f'{{"lr": {number}}}', "3", "5"]
    assert "--pair=1e-07:true" in objective.arguments({"name": "a b", "lr": 1e-7, "flag": True})
    assert not (tmp_path / "x").exists()


def test_the_argument_of_a_parameter_that_is_not_active_is_left_out_with_its_option() -> None:
    space = SearchSpace(
        parameters={
            "optimizer": Choice(["sgd", "adamw"]),
            "momentum": Float(0.5, 0.99, when={"optimizer": ("sgd",)}),
            "beta": Float(0.5, 0.99, when={"optimizer": ("adamw",)}),
        }
    )
    objective = CommandObjective(f"{PYTHON} t.py --opt {{optimizer}} --momentum {{momentum}} --beta={{beta}} --quiet", space)
    assert objective.arguments({"optimizer": "sgd", "momentum": 0.9})[4:] == ["--opt", "sgd", "--momentum", "0.9", "--quiet"]
    assert objective.arguments({"optimizer": "adamw", "beta": 0.9})[4:] == ["--opt", "adamw", "--beta=0.9", "--quiet"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("python t.py --lr {lrr}", "Did you mean 'lr'"),
        ("python t.py", "such as `--lr {lr}`"),
        ("python t.py --lr {lr} --epochs {epoch}", "needs a fidelity"),
        ("python t.py --lr {}", "without a name"),
        ("python t.py --lr {lr:.3f}", "passed in full"),
        ("python t.py --lr {lr!r}", "passed in full"),
        ("python t.py --json '{\"lr\": {lr}}'", "Double the braces"),
        ("python t.py --lr {lr", "Double the braces"),
        ("python t.py --lr '{lr}", "Close every quotation mark"),
        ("", "empty"),
        ("{lr} t.py", "Begin with a program"),
    ],
)
def test_a_template_that_does_not_fit_is_refused_before_the_first_trial(command: str, says: str) -> None:
    with pytest.raises(InputError) as refusal:
        CommandObjective(command.replace("python", PYTHON), LR)
    assert says in str(refusal.value)


def test_a_program_that_is_not_there_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="no program 'no-such-program-of-ours'"):
        CommandObjective("no-such-program-of-ours {lr}", LR)
    with pytest.raises(InputError, match="no folder"):
        CommandObjective(f"{PYTHON} {{lr}}", LR, working_folder=tmp_path / "absent")


def test_a_failing_command_shows_its_last_lines_and_how_to_run_it(tmp_path: Path) -> None:
    body = "say(step=1, value=1)\nfor n in range(30): print('line', n, file=sys.stderr)\nsys.exit('the learning rate is silly')"
    steps, end = to_the_end(CommandObjective(script(tmp_path, body) + " {lr}", LR), {"lr": 0.25})
    assert len(steps) == 1
    assert isinstance(end, Died)
    assert end.cause == "the command left with exit code 1: the learning rate is silly"
    lines = end.detail.splitlines()
    assert lines[0].startswith("$ ")
    assert shlex.split(lines[0][2:])[-1] == "0.25"
    assert lines[-2:] == ["line 29", "the learning rate is silly"]


def test_a_command_that_is_killed_names_the_signal(tmp_path: Path) -> None:
    _, end = to_the_end(CommandObjective(script(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)") + " {lr}", LR), {"lr": 0.1})
    assert isinstance(end, Died)
    assert "SIGSEGV" in end.cause


def test_a_command_without_a_value_is_told_what_to_print(tmp_path: Path) -> None:
    _, end = to_the_end(CommandObjective(script(tmp_path, "print('loss: 0.3')") + " {lr}", LR), {"lr": 0.1})
    assert isinstance(end, Died)
    assert "printed no value" in end.cause
    assert '{"value": 0.41}' in end.cure
    assert "loss: 0.3" in end.detail


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"step": 1, "value": NaN}', "NaN"),
        ('{"step": 1, "value": Infinity}', "infinity"),
        ('{"step": 1, "value": null}', "None"),
        ('{"step": 1, "value": "0.5"}', "text"),
        ('{"step": 0, "value": 1}', "step 0"),
        ('{"step": "one", "value": 1}', "'one'"),
        ('{"value": null}', "no value"),
        ('{"value": NaN}', "NaN"),
    ],
)
def test_what_is_no_finite_number_ends_the_trial_and_the_command(tmp_path: Path, line: str, says: str) -> None:
    pids = tmp_path / "pid"
    waits = "step" in line
    body = f"open({str(pids)!r}, 'w').write(str(os.getpid())); print({line!r}, flush=True)\n" + ("time.sleep(60)" if waits else "")
    _, end = to_the_end(CommandObjective(script(tmp_path, body) + " {lr}", LR), {"lr": 0.1})
    assert isinstance(end, Died)
    assert says in end.cause
    assert is_gone(int(pids.read_text()))


def test_steps_that_do_not_grow_end_the_trial(tmp_path: Path) -> None:
    _, end = to_the_end(CommandObjective(script(tmp_path, "say(step=2, value=1); say(step=2, value=1)") + " {lr}", LR), {"lr": 0.1})
    assert isinstance(end, Died)
    assert "step 2 follows step 2" in end.cause


def test_pruning_ends_the_command_and_its_children_even_those_that_ignore_term(tmp_path: Path) -> None:
    body = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n"
        "if child: say(step=1, value=child); say(step=2, value=os.getpid())\ntime.sleep(600)"
    )
    run = TrialRun(0, CommandObjective(script(tmp_path, body) + " {lr}", LR, grace_seconds=0.1), {"lr": 0.1})
    child, parent = run.next(), run.next()
    assert isinstance(child, Stepped)
    assert isinstance(parent, Stepped)
    assert not is_gone(int(parent.value))
    end = run.stop()
    assert isinstance(end, Ended)
    assert end.value is None
    assert soon_gone(int(parent.value))
    assert soon_gone(int(child.value))


def test_a_pruned_command_may_put_its_things_in_order(tmp_path: Path) -> None:
    mark = tmp_path / "tidied"
    body = (
        f"def tidy(*_): open({str(mark)!r}, 'w').close(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, tidy)\nsay(step=1, value=1)\ntime.sleep(600)"
    )
    run = TrialRun(0, CommandObjective(script(tmp_path, body) + " {lr}", LR), {"lr": 0.1})
    run.next()
    run.stop()
    assert mark.exists()


def test_a_child_that_outlives_the_command_and_holds_its_output_is_not_waited_for(tmp_path: Path) -> None:
    body = "child = os.fork()\nif child == 0: time.sleep(600)\nsay(step=1, value=child)"
    (step,), end = to_the_end(CommandObjective(script(tmp_path, body) + " {lr}", LR), {"lr": 0.1})
    assert isinstance(end, Ended)
    assert soon_gone(int(step.value))


def test_much_output_on_both_streams_blocks_nobody(tmp_path: Path) -> None:
    body = (
        "for n in range(200): sys.stderr.write('e' * 5000 + '\\n"
        "'); print('o' * 5000)\nsys.stdout.write('x' * 3_000_000 + '\\n'); say(value=1)"
    )
    _, end = to_the_end(CommandObjective(script(tmp_path, body) + " {lr}", LR), {"lr": 0.1})
    assert isinstance(end, Ended)
    assert end.value == 1.0


RESUMABLE = (
    "path, last = sys.argv[1], int(sys.argv[2])\n"
    "done = int(open(path).read()) if os.path.exists(path) else 0\n"
    "for n in range(done + 1, last + 1):\n"
    "    open(path + '.new', 'w').write(str(n)); os.replace(path + '.new', path)\n"
    "    say(step=n, value=1 / n)\n"
    "    if n == 2 and done == 0: time.sleep(60)\n"
)


def test_a_trial_goes_on_from_a_copy_of_what_the_command_kept(tmp_path: Path) -> None:
    objective = CommandObjective(script(tmp_path, RESUMABLE) + " {checkpoint} {epoch} {lr}", LR, fidelity=EPOCHS, folder=tmp_path / "kept")
    assert objective.is_resumable
    first = TrialRun(0, objective, {"lr": 0.1})
    first.next()
    first.next()
    kept = first.take_checkpoint()
    first.stop()
    assert Path(kept.path).read_text() == "2"
    for _ in range(2):  # several may go on from one checkpoint: each has a copy
        steps, end = to_the_end(objective, {"lr": 0.2}, kept)
        assert [s.step for s in steps] == [3, 4, 5]
        assert isinstance(end, Ended)
        assert Path(kept.path).read_text() == "2"
    left = sorted(p.name for p in (tmp_path / "kept").iterdir() if p.name != Path(kept.path).name)
    assert len(left) == 1, "a trial's own path goes with it; what the last full one had written stays, in case it is the best"
    assert left[0].startswith("last-")


def test_a_checkpoint_may_be_a_folder_and_one_that_is_gone_fails_the_trial(tmp_path: Path) -> None:
    body = (
        "os.makedirs(sys.argv[1], exist_ok=True); n = len(os.listdir(sys.argv[1])) + 1\n"
        "open(sys.argv[1] + f'/{n}', 'w').close(); say(step=n, value=n)\ntime.sleep(60)"
    )
    objective = CommandObjective(script(tmp_path, body) + " {checkpoint} {lr}", LR, folder=tmp_path / "kept")
    run = TrialRun(0, objective, {"lr": 0.1})
    run.next()
    kept = run.take_checkpoint()
    run.stop()
    again = TrialRun(1, objective, {"lr": 0.1}, kept)
    report = again.next()
    again.stop()
    assert isinstance(report, Stepped)
    assert report.step == 2
    _, end = to_the_end(objective, {"lr": 0.1}, replace(kept, path=str(tmp_path / "nowhere")))
    assert isinstance(end, Died)
    assert "is gone" in end.cause
    _, end = to_the_end(objective, {"lr": 0.1}, {"weights": [1]})
    assert isinstance(end, Died)
    assert "a dict is no checkpoint of a command" in end.cause


@pytest.mark.parametrize("order", ["keep(n); say(step=n, value=1 / n)", "say(step=n, value=1 / n); keep(n)"])
def test_a_command_that_ran_ahead_loses_no_step_and_repeats_none(tmp_path: Path, order: str) -> None:
    body = (
        "path, last = sys.argv[1], int(sys.argv[2])\n"
        "def keep(n): open(path + '.new', 'w').write(str(n)); os.replace(path + '.new', path)\n"
        "done = int(open(path).read()) if os.path.exists(path) else 0\n"
        f"for n in range(done + 1, last + 1): {order}\n"
    )
    command = script(tmp_path, body) + " {checkpoint} {epoch} {lr}"
    objective = CommandObjective(command, LR, fidelity=Fidelity("epoch", 1, 40), folder=tmp_path / "kept")
    for pause in (1, 7, 39, 40):
        run = TrialRun(0, objective, {"lr": 0.1})
        for _ in range(pause):
            report = run.next()
            assert isinstance(report, Stepped)
        time.sleep(0.02)  # time to run ahead, to the end if it likes
        kept = run.take_checkpoint()
        run.stop()
        if kept is None:  # looked at before it had kept anything: it begins at the start
            assert pause == 1
            continue
        steps, end = to_the_end(objective, {"lr": 0.1}, kept)
        assert isinstance(end, Ended), end
        assert end.value == pytest.approx(1 / 40)
        # Where it keeps its state first, the line of the very step it was halted in may be missing.
        assert set(range(pause + 1, 41)) - {s.step for s in steps} <= ({kept.ahead[-1][0] + 1 if kept.ahead else pause + 1})


@pytest.mark.parametrize(
    "body", ["open(sys.argv[1], 'w').write(sys.argv[2])", "os.mkdir(sys.argv[1]); open(sys.argv[1] + '/w', 'w').write(sys.argv[2])"]
)
def test_the_checkpoint_that_a_full_trial_left_can_be_saved_as_its_model(tmp_path: Path, body: str) -> None:
    objective = CommandObjective(script(tmp_path, f"{body}; say(step=1, value=1)") + " {checkpoint} {lr}", LR, folder=tmp_path / "kept")
    for rate in (0.1, 0.2):
        _, end = to_the_end(objective, {"lr": rate})
        assert isinstance(end, Ended) and end.can_save
    saved = tmp_path / "model"
    assert objective.save_last is not None
    objective.save_last(str(saved))
    if tarfile.is_tarfile(saved):
        with tarfile.open(saved) as archive:
            content = archive.extractfile("checkpoint/w").read()  # type: ignore[union-attr]
    else:
        content = saved.read_bytes()
    assert content == b"0.2", "of the last trial"
    assert len(list((tmp_path / "kept").iterdir())) == 1, "and of no other"


def test_a_command_without_a_checkpoint_has_no_model(tmp_path: Path) -> None:
    objective = CommandObjective(script(tmp_path, "say(value=1)") + " {lr}", LR)
    _, end = to_the_end(objective, {"lr": 0.1})
    assert isinstance(end, Ended) and not end.can_save


def test_a_command_that_kept_nothing_yet_gives_no_checkpoint(tmp_path: Path) -> None:
    body = "say(step=1, value=1)\ntime.sleep(60)"
    run = TrialRun(0, CommandObjective(script(tmp_path, body) + " {checkpoint} {lr}", LR), {"lr": 0.1})
    run.next()
    assert run.take_checkpoint() is None
    run.stop()


def test_checkpoints_are_kept_where_the_run_says_unless_a_folder_was_named(tmp_path: Path) -> None:
    command = script(tmp_path, "open(sys.argv[1], 'w').close(); say(step=1, value=1); time.sleep(60)") + " {checkpoint} {lr}"
    for objective, where in (
        (CommandObjective(command, LR), "run"),
        (CommandObjective(command, LR, folder=tmp_path / "named"), "named"),
    ):
        objective.keep_in(tmp_path / "run")
        run = TrialRun(0, objective, {"lr": 0.1})
        run.next()
        assert Path(run.take_checkpoint().path).parent == tmp_path / where
        run.stop()


def test_it_travels_and_its_error_does_too(tmp_path: Path) -> None:
    objective = pickle.loads(pickle.dumps(CommandObjective(script(tmp_path, "say(value=2)") + " {lr}", LR)))
    _, end = to_the_end(objective, {"lr": 0.1})
    assert isinstance(end, Ended)
    error = pickle.loads(pickle.dumps(CommandFailedError("it failed", detail="lines", cure="Mend it.")))
    assert (error.what, error.detail, error.cure) == ("it failed", "lines", "Mend it.")


def test_variables_given_to_it_are_added_to_the_environment(tmp_path: Path) -> None:
    body = "say(value=int(os.environ['DEPTH']) + ('PATH' in os.environ))"
    _, end = to_the_end(CommandObjective(script(tmp_path, body) + " {lr}", LR, environment={"DEPTH": "3"}), {"lr": 0.1})
    assert isinstance(end, Ended)
    assert end.value == 4.0


def test_a_value_that_cannot_be_an_argument_fails_the_trial(tmp_path: Path) -> None:
    space = SearchSpace(parameters={"name": Choice(["a\0b"]), "depth": Int(1, 3)})
    _, end = to_the_end(CommandObjective(script(tmp_path, "say(value=1)") + " {name} {depth}", space), {"name": "a\0b", "depth": 1})
    assert isinstance(end, Died)
    assert "cannot be started" in end.cause


def test_no_thread_and_no_process_is_left(tmp_path: Path) -> None:
    threads, children = threading.active_count(), psutil.Process().children()
    _, end = to_the_end(CommandObjective(script(tmp_path, "say(value=1)") + " {lr}", LR), {"lr": 0.1})
    assert isinstance(end, Ended)
    assert threading.active_count() == threads
    assert psutil.Process().children() == children, "not even a zombie"


@pytest.mark.slow
def test_the_plain_pytorch_script_is_tuned_by_its_command_line(tmp_path: Path) -> None:
    """The words are those of the script's own docstring, so that what it says to type is what works."""
    folder = Path(__file__).parent.parent.parent / "examples" / "own_pytorch"
    said = " ".join((folder / "train.py").read_text().split('--command "', 1)[1].split('"', 1)[0].split())
    words = shlex.split(said)
    assert words[:2] == ["python", "examples/own_pytorch/train.py"]
    fidelity = Fidelity("epoch", 1, 4)
    objective = CommandObjective(
        [sys.executable, str(folder / "train.py"), *words[2:]],
        read_space(folder / "space.toml"),
        fidelity=fidelity,
        folder=tmp_path,
        environment={"OMP_NUM_THREADS": "1"},
    )
    assert objective.space is not None
    config = with_defaults(objective.space).default()
    run, whole, kept = TrialRun(0, objective, config), [], None
    while isinstance(report := run.next(), Stepped):
        whole.append(report)
        kept = run.take_checkpoint() if report.step == 2 else kept
    assert isinstance(report, Ended), report
    assert [s.step for s in whole] == [1, 2, 3, 4]
    rest, end = to_the_end(objective, config, kept)
    assert isinstance(end, Ended), end
    assert end.value == whole[-1].value
    # It goes on after the epoch that was looked at, as if it had never stopped.
    assert [(s.step, s.value) for s in rest] == [(s.step, s.value) for s in whole[2:]]
    adamw = objective.space.active({**config, "optimizer": "adamw"})
    assert "--momentum" not in objective.arguments(adamw)
