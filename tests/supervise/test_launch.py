"""The engine process: started detached, named for ever, locked, stopped in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.core.errors import CannotRunError, InputError, RunBusyError
from advisor.supervise.commands import Command, CommandBox, Unreadable, send
from advisor.supervise.identity import ProcessIdentity, is_alive, process_age_seconds, process_identity
from advisor.supervise.launch import StopSignals, budget_began, launch_engine, read_error, write_error
from advisor.supervise.lock import RunLock, holder
from tests.timing import kept


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def program(code: str) -> list[str]:
    return ["-c", f"import os, sys, time\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n{code}"]


# -- identity ----------------------------------------------------------------------------------------------------------------


def test_a_process_is_itself_and_no_other_with_its_pid() -> None:
    me = process_identity()
    assert me is not None
    assert is_alive(me)
    assert not is_alive(ProcessIdentity(me.pid, me.started_at_ticks + 1, me.boot_id))
    assert not is_alive(ProcessIdentity(me.pid, me.started_at_ticks, "another boot"))


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = process_identity(child.pid)
    assert identity is not None
    wait_for(lambda: process_identity(child.pid) is None)
    assert not is_alive(identity)
    child.wait()


def test_the_age_of_a_process_includes_the_start_of_the_interpreter() -> None:
    code = "from advisor.supervise.identity import process_age_seconds as a; import time; x = a(); time.sleep(0.2); print(x, a())"
    began = time.monotonic()
    first, second = map(float, subprocess.check_output([sys.executable, "-c", code]).split())
    whole = time.monotonic() - began
    assert 0 < first < second <= whole + 0.02  # one clock tick is 0.01 s
    assert second - first >= 0.19
    assert process_age_seconds() > 0


# -- lock --------------------------------------------------------------------------------------------------------------------


def test_a_second_engine_is_refused_at_once_with_the_pid_of_the_first(tmp_path: Path) -> None:
    code = "from advisor.supervise.lock import RunLock\nRunLock(folder).acquire(); print('held', flush=True); time.sleep(60)"
    first = subprocess.Popen([sys.executable, *program(code), str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        began = time.monotonic()
        with pytest.raises(RunBusyError, match=str(first.pid)):
            RunLock(tmp_path).acquire()
        assert kept(1, since=began)
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == first.pid
    finally:
        first.kill()
        first.wait()
    began = time.monotonic()
    with RunLock(tmp_path):  # what a killed engine left is taken over
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()
    assert kept(1, since=began)
    assert holder(tmp_path) is None


def test_one_process_cannot_hold_a_run_twice(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(RunBusyError, match=str(os.getpid())):
        RunLock(tmp_path / ".").acquire()
    with RunLock(tmp_path):
        pass


def test_a_forked_child_that_outlives_its_engine_does_not_hold_the_run(tmp_path: Path) -> None:
    code = (
        "from advisor.supervise.lock import RunLock\nRunLock(folder).acquire()\n"
        "if os.fork(): os._exit(0)\nprint('on', flush=True); time.sleep(60)"
    )
    engine = subprocess.Popen([sys.executable, *program(code), str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True)
    assert engine.stdout is not None
    assert engine.stdout.readline() == b"on\n"
    engine.wait()
    try:
        with RunLock(tmp_path):
            pass
    finally:
        os.killpg(engine.pid, signal.SIGKILL)


def test_of_many_engines_that_race_exactly_one_gets_the_run(tmp_path: Path) -> None:
    code = (
        "from advisor.supervise.lock import RunLock\nfrom advisor.core.errors import RunBusyError\n"
        "while not (folder / 'go').exists(): time.sleep(0.001)\n"
        "try:\n    RunLock(folder).acquire(); print('held', flush=True)\nexcept RunBusyError: print('refused', flush=True)\n"
        "while not (folder / 'end').exists(): time.sleep(0.01)"
    )
    racers = [subprocess.Popen([sys.executable, *program(code), str(tmp_path)], stdout=subprocess.PIPE) for _ in range(6)]
    time.sleep(0.3)
    (tmp_path / "go").touch()
    said = [r.stdout.readline() for r in racers if r.stdout is not None]
    (tmp_path / "end").touch()
    for racer in racers:
        racer.wait()
    assert sorted(said) == [b"held\n"] + [b"refused\n"] * 5


@pytest.mark.slow
def test_a_stale_lock_is_taken_over_a_hundred_times(tmp_path: Path) -> None:
    code = "from advisor.supervise.lock import RunLock\nRunLock(folder).acquire(); print('held', flush=True); time.sleep(60)"
    for _ in range(100):
        engine = subprocess.Popen([sys.executable, *program(code), str(tmp_path)], stdout=subprocess.PIPE)
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"held\n"
        engine.kill()
        engine.wait()
        began = time.monotonic()
        with RunLock(tmp_path):
            assert kept(1, since=began)


def test_a_folder_that_is_absent_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError):
        RunLock(tmp_path / "nowhere").acquire()


# -- commands ----------------------------------------------------------------------------------------------------------------


def test_commands_are_taken_once_in_the_order_they_were_sent(tmp_path: Path) -> None:
    assert CommandBox(tmp_path).take() == []
    send(tmp_path, "pause")
    send(tmp_path, "skip", 3)
    send(tmp_path, "budget", -5.5)
    assert CommandBox(tmp_path).take() == [Command("pause"), Command("skip", 3.0), Command("budget", -5.5)]
    assert CommandBox(tmp_path).take() == []


@pytest.mark.parametrize(("name", "argument"), [("stpo", None), ("skip", None), ("budget", float("nan")), ("budget", float("inf"))])
def test_a_wrong_command_is_refused_where_it_is_sent(tmp_path: Path, name: str, argument: float | None) -> None:
    with pytest.raises(InputError) as caught:
        send(tmp_path, name, argument)
    assert caught.value.cure
    assert name != "stpo" or "stop" in caught.value.cure


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"command": 3}', '{"command": "skip"}', '{"command": "budget", "argument": "all"}', "[" * 5000,
             '{"command": "budget", "argument": NaN}', '{"command": "budget", "argument": true}', "\x00\xff"],
)  # fmt: skip
def test_rubbish_in_the_box_is_reported_and_removed(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / "1.json").write_bytes(text.encode("latin-1"))
    (taken,) = CommandBox(tmp_path).take()
    assert isinstance(taken, Unreadable)
    assert list(folder.iterdir()) == []


def test_a_pipe_in_the_box_does_not_hold_the_engine(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    os.mkfifo(tmp_path / "commands" / "1.json")
    (taken,) = CommandBox(tmp_path).take()
    assert isinstance(taken, Unreadable)


# -- launch ------------------------------------------------------------------------------------------------------------------


def test_the_engine_is_detached_and_outlives_the_process_that_launched_it(tmp_path: Path) -> None:
    engine = "(folder / 'ready').write_text(f'{os.getpid()} {os.getsid(0)} {os.isatty(0)}'); time.sleep(60)"
    launcher = (
        "from advisor.supervise.launch import launch_engine\n"
        f"arguments = {[*program(engine), str(tmp_path)]!r}\n"
        "launch_engine(folder, began=None, arguments=arguments, is_ready=lambda pid: (folder / 'ready').exists())"
    )
    subprocess.run([sys.executable, *program(launcher), str(tmp_path)], check=True, start_new_session=True)
    wait_for(lambda: bool((tmp_path / "ready").read_text()))
    pid, session, terminal = (tmp_path / "ready").read_text().split()
    assert pid == session
    assert terminal == "False"
    identity = process_identity(int(pid))
    assert identity is not None
    os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: not is_alive(identity))


def test_an_engine_that_ends_before_it_begins_raises_its_own_error(tmp_path: Path) -> None:
    code = (
        "from advisor.supervise.launch import write_error\nfrom advisor.core.errors import InputError\n"
        "write_error(folder, InputError('no such column', where='--target', cure='Name one.')); sys.exit(2)"
    )
    with pytest.raises(InputError) as caught:
        launch_engine(tmp_path, began=None, arguments=[*program(code), str(tmp_path)], is_ready=lambda _pid: False)
    assert (caught.value.what, caught.value.where, caught.value.cure) == ("no such column", "--target", "Name one.")


def test_an_engine_that_crashes_is_explained_by_its_log(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_text("an older life\n")
    (tmp_path / "engine-error.json").write_text('{"kind": "InputError", "what": "old", "where": "", "cure": ""}')
    with pytest.raises(CannotRunError, match="ZeroDivisionError") as caught:
        launch_engine(tmp_path, began=None, arguments=[*program("1 / 0"), str(tmp_path)], is_ready=lambda _pid: False)
    assert "older" not in str(caught.value)


def test_an_engine_that_never_gets_ready_is_killed(tmp_path: Path) -> None:
    seen: list[int] = []
    code = program("time.sleep(60)")
    with pytest.raises(CannotRunError, match="not ready"):
        launch_engine(
            tmp_path, began=None, arguments=[*code, str(tmp_path)], is_ready=lambda pid: bool(seen.append(pid)), timeout_seconds=0.2
        )
    assert process_identity(seen[0]) is None


def test_the_budget_begins_where_the_launcher_says(tmp_path: Path) -> None:
    code = "from advisor.supervise.launch import budget_began\n(folder / 'began').write_text(repr(budget_began()))"
    began = time.monotonic() - 7.25
    launch_engine(tmp_path, began=began, arguments=[*program(code), str(tmp_path)], is_ready=lambda _pid: (tmp_path / "began").exists())
    wait_for(lambda: bool((tmp_path / "began").read_text()))
    assert float((tmp_path / "began").read_text()) == began


def test_without_a_launcher_the_budget_begins_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVISOR_BEGAN", "12.5 another-boot")
    assert abs(time.monotonic() - process_age_seconds() - budget_began()) < 0.1


def test_an_error_of_an_unknown_kind_is_still_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "engine-error.json").write_text('{"kind": "IntEnum", "what": "odd", "where": "w", "cure": "c."}')
    assert str(read_error(tmp_path)) == "odd (w). c."
    write_error(tmp_path, RunBusyError("held", where="w", cure="c."))
    assert type(read_error(tmp_path)) is RunBusyError
    (tmp_path / "engine-error.json").write_text("{")
    assert read_error(tmp_path) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_leaves_at_once(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "from advisor.supervise.launch import StopSignals\nwith StopSignals() as stop:\n    print('on', flush=True)\n"
        "    while not stop(): time.sleep(0.01)\n    print('asked', flush=True)\n    while True: time.sleep(1)"
    )
    process = subprocess.Popen([sys.executable, *program(code), str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(number)
    assert process.stdout.readline() == b"asked\n"
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait() == 130
    assert kept(1, since=began)


def test_signals_are_what_they_were_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
