"""The traced memory of networks against what the allocator really gave, and the batch that is drawn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from advisor.core.facts import Task
from advisor.objectives.image_network import ConvolutionalNetwork, ImageTraining
from advisor.objectives.network import EpochTraining, TabularNetwork, memory_errors
from advisor.objectives.network_memory import _status_bytes, measure_batch, traced_bytes
from advisor.objectives.network_objective import NetworkObjective
from advisor.objectives.resources import NetworkResources
from tests.objectives.tables_of_tests import NETWORK, prepared

CONFIG = {"lr": 1e-3, "width": 64, "layers": 2, "dropout": 0.1, "weight_decay": 1e-4}


def _allocated(training: EpochTraining, batch: int) -> int:
    """Peak bytes that PyTorch's allocator of a processor holds over two steps, what was there before included."""
    rows = torch.arange(batch) % len(training.target)
    training.network.train()
    held = sum(t.numel() * t.element_size() for t in (*training.network.parameters(), *training.network.buffers()))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        for _ in range(2):
            training.step(rows, 1e-3)
    changes = [e.nbytes() for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    assert changes
    return held + int(max(np.cumsum(changes)))


def _perceptron() -> tuple[Any, ...]:
    draws = np.random.default_rng(0)
    return TabularNetwork(task="multiclass", width=128, layers=3), draws.normal(size=(64, 40)), np.arange(64) % 5


def _convolutional() -> tuple[Any, ...]:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, size=(64, 8, 8, 1), dtype=np.uint8)
    return ConvolutionalNetwork(blocks=2, channels=16, augmentation="none"), images, np.arange(64) % 5


@pytest.mark.parametrize("make", [_perceptron, _convolutional])
def test_the_trace_is_what_the_allocator_gives(make: Any) -> None:
    """Within 1 %: the two share each tensor but the scratch space of kernels. Seen: -0.03 % at most."""
    estimator, X, y = make()
    with FakeTensorMode():
        fake = estimator.begin(X, y)
    for batch in (256, 1024):
        assert traced_bytes(fake, batch) == pytest.approx(_allocated(estimator.begin(X, y), batch), rel=0.01)


@pytest.fixture(scope="module")
def objective(tmp_path_factory: pytest.TempPathFactory) -> NetworkObjective:
    found = prepared(tmp_path_factory.mktemp("table"), Task.BINARY).objective(NETWORK, seed=1)
    assert isinstance(found, NetworkObjective)
    return found


def _measured(objective: NetworkObjective, **changed: Any) -> dict[str, Any]:
    asked = {"config": CONFIG, "planned": 32, "most": 256, "memory_bytes": 64 * 2**30, "sharing": 1, "seconds": 60.0}
    return measure_batch(objective, **{**asked, **changed})


def test_where_memory_is_ample_the_most_fits_and_no_batch_is_probed_for_it(objective: NetworkObjective) -> None:
    found = _measured(objective)
    assert (found["fits"], found["probes"], found["precision"]) == (256, [], "fp32")
    assert 0 < found["peak_bytes"] < 2**30


def test_without_time_for_a_probe_the_trace_is_the_answer(objective: NetworkObjective) -> None:
    found = _measured(objective, seconds=-1.0)
    assert (found["fits"], found["knee"]) == (256, None)


def test_a_worker_answers_both_questions(objective: NetworkObjective) -> None:
    resources = NetworkResources(objective)
    asked = {"what": "batch", "config": CONFIG, "planned": 32, "most": 64, "memory_bytes": 64 * 2**30, "sharing": 1, "seconds": -1.0}
    assert [m.value for m in resources(asked)] == [64.0]
    assert resources.last_suggested["fits"] == 64
    (told,) = resources({"what": "range", "config": CONFIG})
    assert told.value == resources.last_suggested["suggestion"]
    assert 1e-5 < told.value < 1


def test_where_memory_is_short_what_is_given_was_probed_and_fits(objective: NetworkObjective) -> None:
    """The memory is set so that the trace of the most takes three quarters of it: too much to be believed."""
    resident = _status_bytes("VmRSS")
    wanted = _measured(objective, seconds=-1.0, most=8192)["peak_bytes"] / 0.75
    found = _measured(objective, most=8192, memory_bytes=int(resident + wanted / 0.9))
    assert found["probes"]
    assert all(taken is None or taken <= found["memory_bytes"] for _, taken in found["probes"])
    assert found["fits"] == max((batch for batch, taken in found["probes"] if taken is not None), default=0)


def test_what_cannot_be_allocated_is_a_lack_of_memory_and_nothing_else_is() -> None:
    """2^60 bytes are more than any address space holds, however memory is overcommitted."""
    with pytest.raises(MemoryError, match="can't allocate memory"), memory_errors():
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shape"), memory_errors():
        torch.zeros(2) @ torch.zeros(3, 3)


def test_half_precision_with_a_scaler_trains_and_goes_on_from_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a device of compute capability 7.x is given, on the processor, which knows float16 and the scaler too."""
    monkeypatch.setattr(ImageTraining, "_precision", lambda _self: "fp16")
    estimator, X, y = _convolutional()
    estimator.set_params(epochs=3, batch_size=32)
    whole, first = estimator.begin(X, y), estimator.begin(X, y)
    first.run_epoch()
    state = first.state()
    assert state["scaler"]["scale"] > 1
    again = estimator.begin(X, y)
    again.restore(state)
    while not whole.is_done:
        whole.run_epoch()
    while not again.is_done:
        again.run_epoch()
    assert np.array_equal(whole.predict(X), again.predict(X))
    learned = again.learned()
    assert learned.precision == "fp32"
    assert not hasattr(learned, "scaler")


@pytest.mark.gpu
def test_on_a_device_a_batch_that_was_given_trains_and_twice_as_many_rows_do_not_fit_into_its_share(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    on_device = ready.objective(NETWORK, seed=1, device="cuda")
    assert isinstance(on_device, NetworkObjective)
    sharing = max(1, torch.cuda.mem_get_info()[0] // 2**29)  # half a GiB each
    found = _measured(on_device, most=2**20, memory_bytes=None, sharing=sharing)
    assert 0 < found["fits"] < 2**20
    assert found["peak_bytes"] <= found["memory_bytes"]
    training = on_device.first_training(CONFIG)
    torch.cuda.reset_peak_memory_stats()
    training.network.train()
    training.step(torch.arange(found["fits"], device="cuda") % len(training.target), 1e-3)
    assert torch.cuda.max_memory_allocated() <= 1.05 * found["memory_bytes"]


@pytest.mark.gpu
def test_on_a_device_images_are_trained_in_what_it_computes_by_itself() -> None:
    estimator, X, y = _convolutional()
    training = estimator.set_params(device="cuda").begin(X, y)
    major = torch.cuda.get_device_capability()[0]
    assert training.precision == ("bf16" if major >= 8 else "fp16" if major == 7 else "fp32")
    training.run_epoch()
    assert np.isfinite(training.predict(X)).all()
