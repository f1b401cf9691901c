from __future__ import annotations

import pytest
import torch

from sb3_integral.resize import (
    RESIZE_METHODS,
    Bicubic,
    DataResizeMethod,
    DenseLayer,
    IntegralSampling,
    KMeansMerging,
    Nearest,
    Permuted,
    Pruning,
    RandomScore,
    ResizeMethod,
    TruncatedSVD,
    l1_norm,
    l2_norm,
    resize_method,
    spectral_norm,
)

DROPPING = [name for name in RESIZE_METHODS if name.startswith(("prune", "k-means", "svd"))]
NAMES = (
    "bicubic, bicubic-rescaled, integral, k-means, nearest, nearest-rescaled, permuted-bicubic, "
    "permuted-bicubic-rescaled, permuted-integral, prune-activations, prune-group, prune-l1, prune-l2, "
    "prune-random, prune-spectral, svd"
)


def ready(name: str) -> ResizeMethod:
    """Return a method, with samples if it looks at some."""
    method = RESIZE_METHODS[name]
    if isinstance(method, DataResizeMethod):
        return method.fit(torch.randn(64, 4, generator=torch.Generator().manual_seed(1)), torch.relu)
    return method


def example() -> list[DenseLayer]:
    torch.manual_seed(0)
    layers = [
        DenseLayer(torch.randn(n_out, n_in), torch.randn(n_out)) for n_in, n_out in [(4, 10), (10, 8)]
    ]
    return [*layers, DenseLayer(torch.randn(3, 8), None)]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("bicubic", Bicubic()),
        ("bicubic-rescaled", Bicubic(rescale=True)),
        ("integral", IntegralSampling()),
        ("k-means", KMeansMerging()),
        ("nearest-rescaled", Nearest(rescale=True)),
        ("permuted-bicubic", Permuted(Bicubic())),
        ("permuted-integral", Permuted(IntegralSampling())),
        ("svd", TruncatedSVD()),
    ],
)
def test_a_name_stands_for_its_method(name: str, method: ResizeMethod) -> None:
    assert resize_method(name) == method


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("prune-l1", l1_norm),
        ("prune-l2", l2_norm),
        ("prune-random", RandomScore()),
        ("prune-spectral", spectral_norm),
    ],
)
def test_a_name_stands_for_its_score(name: str, score: object) -> None:
    method = resize_method(name)
    assert isinstance(method, Pruning)
    assert method.score == score


def test_every_baseline_has_a_name() -> None:
    assert ", ".join(sorted(RESIZE_METHODS)) == NAMES
    looking = {name for name in RESIZE_METHODS if isinstance(RESIZE_METHODS[name], DataResizeMethod)}
    assert looking == {name for name in RESIZE_METHODS if name.startswith("prune-")} - {"prune-group"}


def test_a_method_of_ones_own_is_taken_as_it_is() -> None:
    # given
    def first_neurons(layers: list[DenseLayer], sizes: list[int]) -> list[DenseLayer]:
        return layers

    # then
    assert resize_method(first_neurons) is first_neurons


def test_an_unknown_name_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'bilinear'") as caught:
        resize_method("bilinear")
    assert all(name in str(caught.value) for name in ("bicubic", "bicubic-rescaled", "integral"))


@pytest.mark.parametrize("name", sorted(RESIZE_METHODS))
@pytest.mark.parametrize("sizes", [(1, 1), (3, 7), (9, 8), (20, 12)])
def test_every_method_gives_layers_of_the_wanted_shapes(name: str, sizes: tuple[int, int]) -> None:
    # given
    layers = example()
    if name in DROPPING and sizes > (10, 8):
        with pytest.raises(ValueError, match="of 10 neurons larger, got size 20"):
            ready(name)(layers, sizes)
        return
    # when
    resized = ready(name)(layers, sizes)
    # then
    expected = (10, 8) if name == "svd" else sizes  # which keeps neurons, and takes away ranks
    features = (4, *expected, 3)
    shapes = [tuple(layer.weight.shape) for layer in resized]
    assert shapes == [(features[i + 1], features[i]) for i in range(3)]
    assert [None if layer.bias is None else len(layer.bias) for layer in resized] == [*expected, None]
    assert all(layer.weight.isfinite().all() for layer in resized)


@pytest.mark.parametrize("name", sorted(RESIZE_METHODS))
def test_every_method_is_the_identity_at_full_size_and_changes_nothing_in_place(name: str) -> None:
    # given
    layers, before = example(), example()
    # when
    same = ready(name)(layers, (10, 8))
    ready(name)(layers, (5, 5))
    # then
    for one, other, original in zip(same, layers, before, strict=True):
        torch.testing.assert_close(one, original, rtol=0.0, atol=0.0)
        torch.testing.assert_close(other, original, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("name", sorted(RESIZE_METHODS))
def test_every_method_gives_the_same_network_each_time(name: str) -> None:
    for one, other in zip(ready(name)(example(), (4, 5)), ready(name)(example(), (4, 5)), strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.0)
