"""The journal: what was acknowledged is there, whatever happened to the writer, the disk or the tail."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.core.errors import AdvisorError, CannotRunError, InputError, RunNotFoundError
from advisor.core.events import (
    EngineStarted,
    Event,
    Measured,
    Noted,
    RunStarted,
    StudyState,
    TrialFinished,
    TrialStarted,
    fold,
    fold_all,
)
from advisor.journal import Journal, has_engine_started, network_file_system, read_events


def note(number: int) -> Noted:
    return Noted(at=float(number), text=f"note {number}")


def texts(path: Path, after: int = 0) -> list[str]:
    return [event.text for _, event in read_events(path, after) if isinstance(event, Noted)]


def test_events_come_back_as_they_went_in_order(tmp_path: Path) -> None:
    config = {"penalty": None, "depth": float("inf"), "layers": (3, 4), "name": "a\u0000\U0001f600"}
    events: list[Event] = [
        RunStarted(run="r", plan={"direction": "maximize"}),
        TrialStarted(trial=0, stage="search", origin="default", family="toy", config=config),
        Measured(trial=0, step=1, value=0.1 + 0.2),
        TrialFinished(trial=0, value=1e-300, scores=(0.1, 0.2), seconds=1.5),
    ]
    with Journal.open(tmp_path / "journal.db") as journal:
        journal.append(*events)
    read = read_events(tmp_path / "journal.db")
    assert [identity for identity, _ in read] == [1, 2, 3, 4]
    assert fold_all(e for _, e in read).trials[0].config == {**config, "layers": [3, 4]}
    assert [e for _, e in read][2:] == events[2:]


def test_a_reader_sees_each_commit_at_once_while_the_writer_lives(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal.open(path) as journal:
        assert read_events(path) == []
        journal.append(note(1))
        assert texts(path) == ["note 1"]
        journal.append(note(2), note(3))
        assert texts(path, after=1) == ["note 2", "note 3"]
        assert journal.last_id == 3


def test_a_journal_is_opened_again_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for number in range(3):
        with Journal.open(path) as journal:
            journal.append(note(number))
    assert [i for i, _ in read_events(path)] == [1, 2, 3]


def test_measurements_wait_for_company_but_never_past_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal.open(path) as journal:
        journal.append(note(0))
        journal.emit(Measured(trial=0, step=1, value=1.0))
        journal.emit(Measured(trial=0, step=2, value=1.0))
        assert len(read_events(path)) == 1
        journal.emit(note(1))
        assert [e.kind for _, e in read_events(path)] == ["noted", "measured", "measured", "noted"]
        time.sleep(0.11)
        journal.emit(Measured(trial=0, step=3, value=1.0))
        assert len(read_events(path)) == 5
        journal.emit(Measured(trial=0, step=4, value=1.0))
    assert len(read_events(path)) == 6


def test_a_number_that_is_not_finite_is_refused_and_nothing_of_its_batch_is_written(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal.db") as journal:
        for value in (float("nan"), float("inf")):
            with pytest.raises(ValueError, match="JSON compliant"):
                journal.append(note(1), Measured(trial=0, step=1, value=value))
            with pytest.raises(ValueError, match="JSON compliant"):
                journal.emit(Measured(trial=0, step=1, value=value))
    assert read_events(tmp_path / "journal.db") == []


def test_text_that_utf8_cannot_hold_is_written_with_marks(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal.db") as journal:
        journal.append(Noted(text="a\udcffb"))
    assert texts(tmp_path / "journal.db") == ["a?b"]


def test_the_writer_can_tell_whether_an_engine_has_begun(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert not has_engine_started(path, 7)
    with Journal.open(path) as journal:
        assert not has_engine_started(path, 7)
        journal.append(EngineStarted(pid=7, started_at_ticks=1, boot_id="b"))
        assert has_engine_started(path, 7)
        journal.append(EngineStarted(pid=8, started_at_ticks=1, boot_id="b"))
        assert not has_engine_started(path, 7)


# -- what is refused ---------------------------------------------------------------------------------------------------------


def test_no_journal_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError):
        read_events(tmp_path / "journal.db")
    with pytest.raises(CannotRunError):
        Journal.open(tmp_path / "nowhere" / "journal.db")


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look like one" * 99, b"\0" * 4096, b"SQLite format 3\0" + b"\1" * 5000]
)
def test_a_file_that_is_no_journal_is_refused_by_reader_and_writer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(AdvisorError) as caught:
        read_events(path)
    assert str(path) in str(caught.value)
    with pytest.raises(AdvisorError):
        Journal.open(path)
    assert path.read_bytes() == content


def test_an_event_of_another_version_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal.open(path) as journal:
        journal.append(note(1))
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO events (at, kind, body) VALUES (0, 'dance', '{\"kind\": \"dance\"}')")
    connection.close()
    with pytest.raises(InputError, match="record 2"):
        read_events(path)


@pytest.mark.parametrize(
    ("folder", "kind"), [("/home/me/runs", "nfs4"), ("/home/me", "nfs4"), ("/home", None), ("/mnt/a b/c", "fuse.sshfs"), ("/over", None)]
)
def test_a_network_file_system_is_known_by_its_mount(folder: str, kind: str | None) -> None:
    mounts = (
        "/dev/a / ext4 rw 0 0\nserver:/x /home/me nfs4 rw 0 0\nme@b: /mnt/a\\040b fuse.sshfs rw 0 0\n"
        "server:/y /over cifs rw 0 0\n/dev/b /over ext4 rw 0 0\n"
    )
    assert network_file_system(Path(folder), mounts) == kind


def test_a_network_file_system_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.journal.network_file_system", lambda _folder: "nfs4")
    with pytest.raises(CannotRunError, match="nfs4") as caught:
        Journal.open(tmp_path / "journal.db")
    assert "local disk" in caught.value.cure
    assert list(tmp_path.iterdir()) == []


# -- read-only and full disks: real mounts, where this user may make them ----------------------------------------------------


def in_mount(options: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a mount namespace of its own with a tmpfs on `folder`; skips where that is forbidden."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    try:
        probe = subprocess.run([*command, f"mount -t tmpfs none {folder}"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if probe.returncode != 0:
        pytest.skip(f"no mounts here: {probe.stderr.strip()}")
    script = folder.parent / "script.py"
    script.write_text(code)
    return subprocess.run(
        [*command, f"mount -t tmpfs -o {options} none {folder} && exec {sys.executable} {script} {folder}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )


def test_a_read_only_folder_is_refused_within_a_second(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom advisor.journal import Journal\nfrom advisor.core.errors import CannotRunError\n"
        "began = time.monotonic()\n"
        "try: Journal.open(Path(sys.argv[1]) / 'journal.db')\n"
        "except CannotRunError as error: print(error, time.monotonic() - began < 1)"
    )
    done = in_mount("ro,size=1m", code, tmp_path / "run")
    assert "cannot be written" in done.stdout, done.stderr
    assert done.stdout.strip().endswith("True")


def test_a_full_disk_pauses_the_writer_with_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    code = """
import sys, threading, time
from pathlib import Path
from advisor.journal import Journal, read_events
from advisor.core.events import Noted
folder = Path(sys.argv[1])
journal = Journal.open(folder / "journal.db")
ballast = folder / "ballast"
with ballast.open("wb", buffering=0) as file:
    try:
        while True: file.write(b"x" * 4096)
    except OSError: pass
threading.Timer(1.0, ballast.unlink).start()
for number in range(40): journal.append(Noted(text=str(number) + "x" * 1000))
print([i for i, _ in read_events(folder / "journal.db")] == list(range(1, 41)))
journal.close()
print([e.text.rstrip("x") for _, e in read_events(folder / "journal.db")] == [str(n) for n in range(40)])
"""
    done = in_mount("size=512k", code, tmp_path / "run")
    assert done.stdout.split() == ["True", "True"], done.stderr
    assert [line for line in done.stderr.splitlines() if "waiting" in line and "lost" in line] == done.stderr.splitlines()[:1]
    assert done.stderr.splitlines()[1:] == ["journal: writing again"]


def test_the_wait_for_room_can_be_abandoned(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    code = """
import sys
from pathlib import Path
from advisor.journal import Journal
from advisor.core.errors import CannotRunError
from advisor.core.events import Noted
journal = Journal.open(Path(sys.argv[1]) / "journal.db", is_abandoned=lambda: True)
try:
    while True: journal.append(Noted(text="x" * 1000))
except CannotRunError as error: print(error.cure)
"""
    assert "resume" in in_mount("size=512k", code, tmp_path / "run").stdout


# -- kills and torn tails ----------------------------------------------------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
from advisor.journal import Journal
from advisor.core.events import Noted
journal = Journal.open(Path(sys.argv[1]))
number = journal.last_id
end = int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 30
while number < end:
    journal.append(Noted(text=f"note {number}"))
    print(number, flush=True)
    number += 1
"""


def kill_writers(path: Path, kills: int, seed: int) -> None:
    """Kills a writer at random moments; after each, everything it acknowledged must be there, once, in order."""
    draw = random.Random(seed)
    acknowledged = -1
    for _ in range(kills):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(draw.randrange(1, 40)):
            acknowledged = int(writer.stdout.readline())
        time.sleep(draw.random() * 0.02)
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")
        acknowledged = max([acknowledged, *(int(line) for line in rest[:-1] if line)])
        writer.wait()
        found = texts(path)
        assert found == [f"note {n}" for n in range(len(found))]
        assert len(found) in (acknowledged + 1, acknowledged + 2)  # at most one was on disk and not yet acknowledged


def test_no_acknowledged_event_is_lost_or_doubled_when_the_writer_is_killed(tmp_path: Path) -> None:
    kill_writers(tmp_path / "journal.db", kills=3, seed=1)


@pytest.mark.slow
def test_no_acknowledged_event_is_lost_or_doubled_in_sixty_kills(tmp_path: Path) -> None:
    kill_writers(tmp_path / "journal.db", kills=60, seed=2)


def killed_at(call: str, when: int, folder: Path) -> None:
    """Kills a writer at its `when`-th `call`; everything it acknowledged must be readable, and the journal must go on."""
    folder.mkdir()
    path = folder / "journal.db"
    inject = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}"]
    writer = subprocess.run(
        ["timeout", "-k", "1", "20", *inject, sys.executable, "-c", _WRITER, str(path), "40"], capture_output=True, text=True, check=False
    )
    if "ptrace" in writer.stderr.lower():
        pytest.skip(f"strace is forbidden here: {writer.stderr.splitlines()[0]}")
    acknowledged = len(writer.stdout.split())
    assert acknowledged < 40, f"it was not killed at {call} {when}"
    if path.exists():
        assert texts(path) in ([f"note {n}" for n in range(acknowledged)], [f"note {n}" for n in range(acknowledged + 1)])
    with Journal.open(path) as journal:
        journal.append(note(99))
    assert texts(path)[-1] == "note 99"


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")


@needs_strace
@pytest.mark.parametrize(("call", "when"), [("pwrite64", 9), ("fdatasync", 4), ("fdatasync", 8)])
def test_a_writer_killed_inside_a_system_call_keeps_its_word(tmp_path: Path, call: str, when: int) -> None:
    killed_at(call, when, tmp_path / "run")


@pytest.mark.slow
@needs_strace
@pytest.mark.timeout(900)
def test_a_writer_killed_at_each_write_and_each_sync_keeps_its_word(tmp_path: Path) -> None:
    for call in ("pwrite64", "fdatasync"):
        for when in range(1, 31):
            killed_at(call, when, tmp_path / f"{call}-{when}")


@needs_strace
def test_a_failing_sync_is_tried_again_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    inject = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=4..7"]
    writer = subprocess.run(
        ["timeout", "-k", "1", "30", *inject, sys.executable, "-c", _WRITER, str(path), "12"], capture_output=True, text=True, check=False
    )
    if "ptrace" in writer.stderr.lower():
        pytest.skip(f"strace is forbidden here: {writer.stderr.splitlines()[0]}")
    assert writer.stdout.split() == [str(n) for n in range(12)]
    assert texts(path) == [f"note {n}" for n in range(12)]
    assert "disk I/O error" in writer.stderr
    assert writer.stderr.count("waiting for room") == writer.stderr.count("writing again") >= 1


def left_by_a_killed_writer(folder: Path, events: int) -> Path:
    """A journal whose log was never merged: what a SIGKILL leaves."""
    folder.mkdir()
    path = folder / "journal.db"
    journal = Journal.open(folder / "live.db")
    for number in range(events):
        journal.append(note(number))
    for suffix in ("", "-wal"):
        shutil.copyfile(folder / f"live.db{suffix}", folder / f"journal.db{suffix}")
    journal.close()
    return path


def check_cut(path: Path, whole: int, cut: int, folder: Path) -> int:
    """Copies the journal with its log cut after `cut` bytes, reads, appends, reads again; gives how many events were left."""
    folder.mkdir()
    shutil.copyfile(path, folder / "journal.db")
    (folder / "journal.db-wal").write_bytes(path.with_name("journal.db-wal").read_bytes()[:cut])
    left = texts(folder / "journal.db")
    assert left == [f"note {n}" for n in range(len(left))]
    with Journal.open(folder / "journal.db") as journal:
        assert journal.last_id == len(left)
        journal.append(note(len(left)))
    assert texts(folder / "journal.db") == [f"note {n}" for n in range(len(left) + 1)]
    shutil.rmtree(folder)
    assert len(left) <= whole
    return len(left)


def test_a_torn_tail_drops_only_the_record_it_cuts(tmp_path: Path) -> None:
    path = left_by_a_killed_writer(tmp_path / "source", 6)
    length = path.with_name("journal.db-wal").stat().st_size
    frame = 4096 + 24  # one page and its header: each append is one frame here
    cuts = [length, length - 1, length - 100, length - frame + 1, length - frame, length - frame - 1]
    assert [check_cut(path, 6, cut, tmp_path / str(cut)) for cut in cuts] == [6, 5, 5, 5, 5, 4]


@pytest.mark.slow
def test_a_log_cut_at_any_byte_of_its_last_records_opens_with_a_prefix(tmp_path: Path) -> None:
    path = left_by_a_killed_writer(tmp_path / "source", 4)
    length = path.with_name("journal.db-wal").stat().st_size
    left = [check_cut(path, 4, cut, tmp_path / str(cut)) for cut in range(length, length - 2 * 4120, -7)]
    assert left == sorted(left, reverse=True)
    assert left[0] == 4
    assert left[-1] == 2


def test_a_killed_run_on_read_only_ground_can_still_be_read(tmp_path: Path) -> None:
    path = left_by_a_killed_writer(tmp_path / "source", 3)
    (tmp_path / "run").mkdir()
    code = (
        "import sys\nfrom pathlib import Path\nfrom advisor.journal import read_events\n"
        f"import shutil, subprocess\nfor s in ('', '-wal'): shutil.copyfile({str(path)!r} + s, sys.argv[1] + '/journal.db' + s)\n"
        "subprocess.run(['mount', '-o', 'remount,ro', sys.argv[1]], check=True)\n"
        "print(len(read_events(Path(sys.argv[1]) / 'journal.db')))"
    )
    done = in_mount("size=1m", code, tmp_path / "run")
    assert done.stdout.strip() == "3", done.stderr


def test_folding_what_was_read_in_pieces_gives_the_same_state(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    state, seen = StudyState(), 0
    with Journal.open(path) as journal:
        journal.append(RunStarted(run="r", plan={"direction": "minimize"}))
        for trial in range(5):
            journal.append(
                TrialStarted(trial=trial, stage="search", origin="proposal", family="toy", config={"x": trial}),
                TrialFinished(trial=trial, value=float(-trial), seconds=1.0),
            )
            piece = read_events(path, seen)
            seen = piece[-1][0]
            state = fold(state, *(event for _, event in piece))
    assert state == fold_all(e for _, e in read_events(path))
    assert state.best == 4


def test_the_log_does_not_grow_with_readers(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal.open(path) as journal:
        for number in range(1500):
            journal.append(note(number))
            if number % 50 == 0:
                read_events(path, number)
        # SQLite merges the log every 1000 pages of 4 KiB; an open cursor would keep it from starting over.
        assert os.path.getsize(f"{path}-wal") < 6_000_000  # noqa: PTH202
