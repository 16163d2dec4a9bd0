"""Workers: what a trial does stays in the trial."""

from __future__ import annotations

import errno
import functools
import os
import pickle
import signal
import sys
import textwrap
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from advisor.core.errors import InputError
from advisor.supervise.evaluation import Died, Ended, NotSaved, Report, Saved, Stepped, TrialRun
from advisor.supervise.parcel import packed
from advisor.supervise.pool import InlinePool, WorkerPool
from tests.fakes import objectives
from tests.timing import kept

Make = Callable[..., WorkerPool]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    pools: list[WorkerPool] = []

    def build(size: int = 1, *, environment: dict[str, str] | None = None, memory_bytes: int | None = None, **rest: Any) -> WorkerPool:
        pool = WorkerPool(size=size, environment=environment or {}, memory_bytes=memory_bytes, log_folder=tmp_path / "logs", **rest)
        pools.append(pool)
        return pool

    yield build
    for pool in pools:
        pool.close()


def run(pool: Any, trial: int, name: str, config: dict[str, Any], *, limit_seconds: float = 30.0, checkpoint: Any = None) -> list[Report]:
    """Every report of one trial, each step answered with advance."""
    give_up = time.monotonic() + 20
    while not pool.idle:
        pool.poll(0.1)
    pool.start(trial, name, config, limit_seconds=limit_seconds, checkpoint=checkpoint)
    reports: list[Report] = []
    while time.monotonic() < give_up:
        for report in pool.poll(5.0):
            reports.append(report)
            if isinstance(report, Stepped):
                pool.advance(trial)
            else:
                return reports
    raise AssertionError(f"no end: {reports}")


def died(reports: list[Report]) -> Died:
    (report,) = reports
    assert isinstance(report, Died)
    return report


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_a_function_of_the_configuration_ends_with_its_value(make: Make) -> None:
    pool = make()
    pool.register("square", objectives.square)
    (report,) = run(pool, 0, "square", {"x": 3})
    assert isinstance(report, Ended)
    assert report.value == 9.0
    assert report.scores == ()
    assert not report.can_save
    assert report.peak_bytes > 1_000_000
    assert pool.idle == 1


def test_a_closure_travels_by_value(make: Make) -> None:
    offset = 5
    pool = make()
    pool.register("closure", lambda config: config["x"] + offset)
    (report,) = run(pool, 0, "closure", {"x": 1})
    assert isinstance(report, Ended)
    assert report.value == 6.0


def test_what_cannot_be_pickled_is_refused_with_the_cure(make: Make) -> None:
    lock = threading.Lock()
    with pytest.raises(InputError, match="inline"):
        make().register("locked", lambda config: lock)


@functools.lru_cache(maxsize=7)
def remembered(x: float) -> float:
    return x / 2


def of_the_notebook(source: str) -> types.ModuleType:
    """What `source` defines, in a module that no worker can import."""
    module = types.ModuleType("a_notebook")
    exec(compile(textwrap.dedent(source), "a_notebook", "exec"), module.__dict__)
    sys.modules["a_notebook"] = module
    cloudpickle.register_pickle_by_value(module)
    return module


TRAVELLERS = """
    import functools

    @functools.cache
    def square(x):
        return x * x

    @functools.lru_cache(maxsize=9)
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    def plain(config):
        return float(config["x"])

    class Object:
        @functools.lru_cache
        def half(self, x):
            return x / 2
        def __call__(self, config):
            return self.half(config["x"])
        def method(self, config):
            return self.half(config["x"])

    uses_a_cache = lambda config: square(config["x"]) + fib(20)
    partial = functools.partial(lambda factor, config: factor * config["x"], 3)
    called = Object()
    bound = called.method
    wrapped = functools.wraps(plain)(lambda config: plain(config))
"""


@pytest.mark.parametrize(("name", "value"), [("uses_a_cache", 6774.0), ("partial", 9.0), ("called", 1.5), ("bound", 1.5), ("wrapped", 3.0)])
def test_what_a_notebook_defines_travels_even_behind_a_cache(make: Make, name: str, value: float) -> None:
    notebook = of_the_notebook(TRAVELLERS)
    try:
        pool = make()
        pool.register(name, getattr(notebook, name))
        pool.load(name)
        (report,) = run(pool, 0, name, {"x": 3})
    finally:
        cloudpickle.unregister_pickle_by_value(notebook)
        del sys.modules["a_notebook"]
    assert isinstance(report, Ended), report
    assert report.value == value


def test_a_cache_of_a_module_is_sent_by_its_name_and_keeps_its_size() -> None:
    assert pickle.loads(packed(remembered)) is remembered
    assert pickle.loads(packed(functools.lru_cache(5)(objectives.square))).cache_parameters() == {"maxsize": 5, "typed": False}


def test_what_a_worker_cannot_load_is_known_before_a_trial(make: Make) -> None:
    pool = make()
    pool.register("gone", Unloadable())
    with pytest.raises(InputError, match="cannot be loaded in a worker: ImportError: no such library here"):
        pool.load("gone")
    pool.register("square", objectives.square)
    pool.load("square")
    assert pool.idle == 1


class Unloadable:
    """Pickles, and fails wherever it is loaded."""

    def __reduce__(self) -> Any:
        return _fail, ()

    def __call__(self, config: dict[str, Any]) -> float:
        return 0.0


def _fail() -> None:
    raise ImportError("no such library here")


def test_steps_arrive_one_by_one_and_the_last_value_is_the_result(make: Make) -> None:
    pool = make()
    pool.register("curve", objectives.curve)
    *steps, end = run(pool, 0, "curve", {"x": 1})
    assert [(s.step, s.value) for s in steps if isinstance(s, Stepped)] == [(k, 1 + 1 / k) for k in range(1, 5)]
    assert isinstance(end, Ended)
    assert end.value == 1.25
    assert end.scores == (1.0, 2.0, 3.0, 4.0)


def test_a_kept_checkpoint_is_evaluated_in_the_worker_and_goes_on_from_there(make: Make, tmp_path: Path) -> None:
    import cloudpickle

    pool = make()
    pool.register("curve", objectives.curve)
    pool.start(0, "curve", {"x": 1}, limit_seconds=30)
    (first,) = wait(pool)
    assert isinstance(first, Stepped)
    pool.advance(0, keep=tmp_path / "one")
    (second,) = wait(pool)
    assert isinstance(second, Stepped)
    pool.stop(0, keep=tmp_path / "two")
    (end,) = wait(pool)
    assert isinstance(end, Ended)
    assert end.value is None
    kept = cloudpickle.loads((tmp_path / "two").read_bytes())
    assert (cloudpickle.loads((tmp_path / "one").read_bytes()), kept) == (1, 2)
    steps = [r.step for r in run(pool, 1, "curve", {"x": 1}, checkpoint=kept) if isinstance(r, Stepped)]
    assert steps == [3, 4]


def wait(pool: WorkerPool) -> list[Report]:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        reports = pool.poll(5.0)
        if reports:
            return reports
    raise AssertionError("no report")


@pytest.mark.parametrize("how", sorted(objectives.INVALID))
def test_a_value_that_is_no_finite_number_is_invalid(how: str) -> None:
    pool = InlinePool()
    pool.register("misbehave", objectives.misbehave)
    report = died(run(pool, 0, "misbehave", {"how": how}))
    assert report.category == "invalid"
    assert report.cause
    assert report.cure


def test_invalid_values_cross_the_process_border_as_such(make: Make) -> None:
    pool = make()
    pool.register("misbehave", objectives.misbehave)
    causes = [died(run(pool, n, "misbehave", {"how": how})).cause for n, how in enumerate(("nan", "minus_inf", "array"))]
    assert causes == [f"the objective gave {what} as its value" for what in ("NaN", "minus infinity", "an array of shape (3,)")]


def test_each_way_of_leaving_the_process_fails_one_trial_and_names_it(make: Make) -> None:
    pool = make()
    pool.register("misbehave", objectives.misbehave)
    said: dict[str, Died] = {}
    for number, how in enumerate(("segv", "leave", "system_exit", "interrupt")):
        said[how] = died(run(pool, 2 * number, "misbehave", {"how": how}))
        (good,) = run(pool, 2 * number + 1, "misbehave", {"how": "good"})
        assert isinstance(good, Ended)
    assert {d.category for d in said.values()} == {"signal"}
    assert "SIGSEGV" in said["segv"].cause
    assert "string_at" in said["segv"].detail
    assert "exit code 7" in said["leave"].cause
    assert "SystemExit(3)" in said["system_exit"].cause
    assert "KeyboardInterrupt" in said["interrupt"].cause


@pytest.mark.parametrize(
    ("how", "category", "cause"), [("close", "error", "pipe"), ("group", "signal", "SIGKILL"), ("halt", "timeout", "longer")]
)
def test_a_trial_that_cuts_the_branch_it_sits_on_ends_too(make: Make, how: str, category: str, cause: str) -> None:
    pool = make()
    pool.register("misbehave", objectives.misbehave)
    run(pool, 0, "misbehave", {"how": "good"})
    began = time.monotonic()
    report = died(run(pool, 1, "misbehave", {"how": how}, limit_seconds=0.5 if how == "halt" else 30))
    assert time.monotonic() - began < 10
    assert report.category == category
    assert cause in report.cause
    (good,) = run(pool, 2, "misbehave", {"how": "good"})
    assert isinstance(good, Ended)


@pytest.mark.slow
def test_fifty_of_each_crash_among_good_trials_lose_none_of_the_good(make: Make) -> None:
    pool = make(2)
    pool.register("misbehave", objectives.misbehave)
    for number in range(50):
        for how in ("segv", "leave", "system_exit"):
            assert died(run(pool, 10 * number, "misbehave", {"how": how})).category == "signal"
        (good,) = run(pool, 10 * number + 9, "misbehave", {"how": "good"})
        assert isinstance(good, Ended)


@pytest.mark.slow
def test_five_hundred_trials_that_leak_do_not_grow_the_engine(make: Make) -> None:
    import psutil

    hoard: list[bytes] = []

    def leak(config: dict[str, Any]) -> float:
        hoard.append(b"x" * 5_000_000)
        return 1.0

    pool = make(memory_bytes=1 << 30)
    pool.register("leak", leak)
    run(pool, 0, "leak", {})
    before = psutil.Process().memory_info().rss
    ends = [run(pool, number, "leak", {})[-1] for number in range(1, 501)]
    assert psutil.Process().memory_info().rss - before < 50_000_000
    # 5 MB a trial against 1 GiB: the worker runs out of memory about every 200 trials, is replaced, and the next is fine.
    dead = [e for e in ends if isinstance(e, Died)]
    assert 1 <= len(dead) <= 4
    assert {d.category for d in dead} == {"memory"}


def test_an_exception_is_one_line_of_cause_and_its_trace_is_detail(make: Make) -> None:
    pool = make()
    pool.register("misbehave", objectives.misbehave)
    report = died(run(pool, 0, "misbehave", {"how": "raise"}))
    assert (report.category, report.cause) == ("error", "ValueError: the learning rate is silly")
    assert "misbehave" in report.detail


def test_a_fork_that_comes_back_through_the_worker_reports_nothing(make: Make) -> None:
    pool = make()
    pool.register("misbehave", objectives.misbehave)
    reports = run(pool, 0, "misbehave", {"how": "fork"})
    reports += pool.poll(0.3)
    assert [getattr(r, "value", r) for r in reports] == [0.5]


def test_more_memory_than_the_limit_is_an_event_of_its_own(make: Make) -> None:
    pool = make(memory_bytes=2 << 30)
    pool.register("misbehave", objectives.misbehave)
    report = died(run(pool, 0, "misbehave", {"how": "memory"}))
    assert report.category == "memory"
    assert report.cause.startswith("out of memory")
    (good,) = run(pool, 1, "misbehave", {"how": "good"})
    assert isinstance(good, Ended)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
        ),
    ],
)
def test_what_libraries_raise_for_want_of_memory_is_told_as_such(error: Exception) -> None:
    def objective(config: dict[str, Any]) -> float:
        raise error

    report = TrialRun(0, objective, {}).next()
    assert isinstance(report, Died)
    assert report.category == "memory"


def test_torch_running_out_of_memory_on_the_processor_is_told_as_such() -> None:
    torch = pytest.importorskip("torch")
    report = TrialRun(0, lambda _config: float(torch.empty(1 << 50)[0]), {}).next()
    assert isinstance(report, Died)
    assert report.category == "memory"


def test_five_megabytes_of_noise_go_to_the_log_and_not_into_the_protocol(make: Make, tmp_path: Path) -> None:
    pool = make()
    pool.register("misbehave", objectives.misbehave)
    (report,) = run(pool, 0, "misbehave", {"how": "noise"})
    assert isinstance(report, Ended)
    assert (tmp_path / "logs/worker-0.log").stat().st_size > 5_000_000


def test_a_trial_that_ignores_term_is_killed_with_its_children_wherever_they_hid(make: Make, tmp_path: Path) -> None:
    pool = make()
    pool.register("stubborn", objectives.stubborn)
    pids = tmp_path / "pids"
    pool.start(0, "stubborn", {"pids": str(pids)}, limit_seconds=1.5)
    began = time.monotonic()
    report = died(wait(pool))
    assert report.category == "timeout"
    assert time.monotonic() - began < 1.5 + 10  # limit and the overrun that is allowed
    assert [is_gone(int(pid)) for pid in pids.read_text().split()] == [True, True, True]


def test_loading_an_objective_does_not_count_against_the_limit_of_a_trial(make: Make) -> None:
    pool = make()
    pool.register("heavy", objectives.Heavy())
    (report,) = run(pool, 0, "heavy", {"x": 1}, limit_seconds=0.5)
    assert isinstance(report, Ended)
    assert report.seconds < 0.5


def test_closing_leaves_nobody_behind(make: Make, tmp_path: Path) -> None:
    pool = make(2)
    pool.register("stubborn", objectives.stubborn)
    for trial in (0, 1):
        pool.start(trial, "stubborn", {"pids": str(tmp_path / f"pids{trial}")}, limit_seconds=60)
    wait_for(lambda: (tmp_path / "pids0").exists() and (tmp_path / "pids1").exists())
    began = time.monotonic()
    pool.close()
    assert kept(3, since=began)
    pids = [int(pid) for trial in (0, 1) for pid in (tmp_path / f"pids{trial}").read_text().split()]
    assert len(pids) == 6
    assert all(is_gone(pid) for pid in pids)
    assert list((tmp_path / "logs").glob(".objective*")) == []


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_worker_that_dies_while_idle_is_replaced(make: Make, tmp_path: Path) -> None:
    pool = make()
    pool.register("pid", lambda config: float(os.getpid()))
    (first,) = run(pool, 0, "pid", {})
    assert isinstance(first, Ended)
    assert first.value is not None
    os.kill(int(first.value), signal.SIGKILL)
    wait_for(lambda: is_gone(int(first.value or 0)))
    pool.poll(0.0)
    (second,) = run(pool, 1, "pid", {})
    assert isinstance(second, Ended)
    assert second.value != first.value


def test_the_environment_is_set_before_the_worker_starts(make: Make) -> None:
    pool = make(environment={"OMP_NUM_THREADS": "3"})
    pool.register("threads", lambda config: int(os.environ["OMP_NUM_THREADS"]))
    (report,) = run(pool, 0, "threads", {})
    assert isinstance(report, Ended)
    assert report.value == 3.0


def test_two_workers_run_two_trials_at_once(make: Make) -> None:
    pool = make(2)
    pool.register("pid", lambda config: (time.sleep(0.2), float(os.getpid()))[1])
    pool.start(0, "pid", {}, limit_seconds=30)
    pool.start(1, "pid", {}, limit_seconds=30)
    with pytest.raises(ValueError, match="idle"):
        pool.start(2, "pid", {}, limit_seconds=30)
    reports = wait(pool)
    while len(reports) < 2:
        reports += wait(pool)
    assert len({r.value for r in reports if isinstance(r, Ended)}) == 2


@pytest.mark.parametrize("kind", ["worker", "inline"])
def test_the_model_of_the_last_trial_is_saved_with_its_hash(make: Make, tmp_path: Path, kind: str) -> None:
    pool: Any = make() if kind == "worker" else InlinePool()
    pool.register("saving", objectives.Saving())
    (end,) = run(pool, 0, "saving", {"x": 2})
    assert isinstance(end, Ended)
    assert end.can_save
    pool.save(0, tmp_path / "model")
    (saved,) = pool.poll(10.0)
    assert isinstance(saved, Saved)
    assert (tmp_path / "model").read_text() == "2.0"
    assert len(saved.sha256) == 64
    run(pool, 1, "saving", {"x": 3})
    pool.save(0, tmp_path / "again")
    (refused,) = pool.poll(10.0)
    assert isinstance(refused, NotSaved)


def test_a_killed_trial_reports_its_death_and_frees_its_slot(make: Make) -> None:
    pool = make()
    pool.register("sleeper", objectives.sleeper)
    pool.register("square", objectives.square)
    pool.start(0, "sleeper", {"seconds": 60}, limit_seconds=60)
    pool.kill(0)
    assert died(wait(pool)).category == "signal"
    (good,) = run(pool, 1, "square", {"x": 1})
    assert isinstance(good, Ended)


def test_nothing_survives_an_engine_that_is_killed(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "from pathlib import Path; import time; from tests.fakes import objectives; from advisor.supervise.pool import WorkerPool\n"
        f"pool = WorkerPool(size=1, environment={{}}, memory_bytes=None, log_folder=Path({str(tmp_path / 'logs')!r}))\n"
        f"pool.register('s', objectives.stubborn); pool.start(0, 's', {{'pids': {str(tmp_path / 'pids')!r}}}, limit_seconds=99)\n"
        "time.sleep(99)"
    )
    engine = subprocess.Popen([sys.executable, "-c", program])
    wait_for((tmp_path / "pids").exists)
    engine.kill()
    engine.wait()
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: all(is_gone(pid) for pid in pids), 5.0)


def test_both_pools_give_the_same_reports(make: Make) -> None:
    def shapes(pool: Any) -> list[Any]:
        pool.register("curve", objectives.curve)
        pool.register("misbehave", objectives.misbehave)
        out: list[Any] = []
        for number, how in enumerate(("good", "raise", "nan", "system_exit")):
            out += [_shape(r) for r in run(pool, number, "misbehave", {"how": how})]
        out += [_shape(r) for r in run(pool, 9, "curve", {"x": 2.5}, checkpoint=1)]
        return out

    assert shapes(make()) == shapes(InlinePool())


def _shape(report: Report) -> Any:
    match report:
        case Stepped():
            return report
        case Ended():
            return ("ended", report.trial, report.value, report.scores, report.can_save)
        case Died():
            return ("died", report.trial, report.category, report.cause, report.cure)
        case _:
            raise AssertionError(report)


def test_a_simulated_clock_limits_a_trial_between_its_steps() -> None:
    now = [0.0]

    def slow(config: dict[str, Any], checkpoint: Any = None) -> Iterator[Any]:
        from advisor.core.ports import Measurement

        for step in range(1, 100):
            now[0] += 10.0
            yield Measurement(step=step, value=1.0)

    pool = InlinePool(clock=lambda: now[0])
    pool.register("slow", slow)
    reports = run(pool, 0, "slow", {}, limit_seconds=35.0)
    assert [type(r).__name__ for r in reports] == ["Stepped"] * 3 + ["Died"]
    assert isinstance(reports[-1], Died)
    assert (reports[-1].category, reports[-1].seconds) == ("timeout", 40.0)
