"""How fast products are, told from a clock that the test holds."""

from __future__ import annotations

import pytest
import torch

from heedful.ops import rates


def test_the_size_doubles_until_a_product_takes_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10⁹ operations a second, 128³·2 take 4 ms and 256³·2 take 34: enough. A quick machine ends at 2048."""
    asked: list[int] = []

    def quickest(a: torch.Tensor, b: torch.Tensor, seconds: float) -> float:
        asked.append(len(a))
        assert a.shape == b.shape and torch.get_num_threads() == 1
        return 2.0 * len(a) ** 3 / (1e9 if a.dtype == torch.float32 else 1e15)

    monkeypatch.setattr(rates, "_quickest", quickest)
    threads = torch.get_num_threads()
    found = rates.matrix_rate()
    assert found == {"float32": pytest.approx(1e9 * threads), "bfloat16": pytest.approx(1e15 * threads)}
    assert asked == [128, 256, 128, 256, 512, 1024, 2048] and torch.get_num_threads() == threads


def test_the_quickest_product_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that take 5, 2 and 4 s of a clock that begins at 100; the last one ends behind the time given."""
    ticks = iter([100.0, 100.0, 105.0, 105.0, 106.0, 108.0, 108.5, 109.0, 113.0, 113.0])
    monkeypatch.setattr(rates.time, "perf_counter", lambda: next(ticks))
    assert rates._quickest(torch.ones(4, 4), torch.ones(4, 4), 8.6) == 2.0
    assert list(ticks) == []


@pytest.mark.parametrize(("bfloat16", "said"), [(1.6, "bfloat16"), (1.5, "float32"), (0.01, "float32")])
def test_the_precision_that_is_clearly_faster(bfloat16: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "matrix_rate", lambda device: {"float32": 1.0, "bfloat16": bfloat16})
    assert rates.faster_precision(torch.device("cpu")) == said


@pytest.mark.parametrize(("has", "said"), [(True, "bfloat16"), (False, "float32")])
def test_on_a_card_the_processor_is_not_asked(has: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card beside a processor without fast bfloat16 trains in bfloat16 where it has it, and not in emulation."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation)
    monkeypatch.setattr(rates, "matrix_rate", lambda device: {"float32": 1.0, "bfloat16": 0.1})
    assert rates.training_device().type == "cuda"
    assert rates.faster_precision(rates.training_device()) == said


def test_a_cards_rate_is_measured_on_it_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10¹² operations a second 2048³·2 take 17 ms: enough. No number of threads multiplies it."""
    made, waited, ones = [], [], torch.ones

    def on_the_card(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        made.append(device.type)
        return ones(1, 1, dtype=dtype).expand(*shape)

    monkeypatch.setattr(rates.torch, "ones", on_the_card)
    monkeypatch.setattr(rates, "_quickest", lambda a, b, seconds: 2.0 * len(a) ** 3 / 1e12)
    found = rates.matrix_rate(torch.device("cuda"))
    assert found == {"float32": pytest.approx(1e12), "bfloat16": pytest.approx(1e12)}
    assert set(made) == {"cuda"} and len(made) == 2 * 2 * 5  # 128 to 2048
    monkeypatch.setattr(rates, "_quickest", lambda a, b, seconds: 1e-6 * len(a) / 8192)
    assert rates.matrix_rate(torch.device("cuda"))["bfloat16"] == pytest.approx(2 * 8192**3 / 1e-6)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(device.type))
    rates._finish(torch.device("cuda"))
    rates._finish(torch.device("cpu"))
    assert waited == ["cuda"]
