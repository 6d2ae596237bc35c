from __future__ import annotations

import numpy as np
import pytest
import torch

from extractors.views import view_statistics


def test_mean_and_deviation_are_those_of_the_population() -> None:
    embeddings = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]]])
    mean, deviation = view_statistics(embeddings)
    torch.testing.assert_close(mean, torch.tensor([[3.0, 2.0]]))
    torch.testing.assert_close(deviation, torch.tensor([[(8 / 3) ** 0.5, 8**0.5]]))


def test_identical_views_have_that_mean_and_no_deviation_bit_for_bit() -> None:
    embedding = torch.randn(5, 1, 513) * 1e3
    mean, deviation = view_statistics(embedding.expand(-1, 18, -1))
    assert torch.equal(mean, embedding[:, 0])
    assert (deviation == 0).all()


def test_a_small_deviation_on_a_large_mean_keeps_its_digits() -> None:
    shifts = np.random.default_rng(1).integers(-8, 8, (3, 18, 7)) / 8
    values = 4096.0 + shifts  # exact in float32
    mean, deviation = view_statistics(torch.from_numpy(values).float())
    np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-7)
    np.testing.assert_allclose(deviation, values.std(axis=1), rtol=1e-5)


def test_one_view_has_no_deviation() -> None:
    embedding = torch.randn(2, 1, 3)
    mean, deviation = view_statistics(embedding)
    assert torch.equal(mean, embedding[:, 0])
    assert torch.equal(deviation, torch.zeros(2, 3))


@pytest.mark.parametrize("shape", [(3, 5), (3, 0, 5)])
def test_embeddings_without_views_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"\(N, V, D\) with a view, got \({shape[0]}, "):
        view_statistics(torch.zeros(shape))
