"""The shapes in signatures are checked while tests run; without that they would be mere comments."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from sb3_integral.nn import CubicConvolution, mean_spectrum


def test_a_wrong_shape_is_an_error_in_tests():
    # when a vector comes where a matrix is announced, then it is refused
    with pytest.raises(TypeCheckError):
        mean_spectrum(torch.zeros(3))

    # when points are no vector, then they are refused
    with pytest.raises(TypeCheckError):
        CubicConvolution().matrix(torch.zeros(3, 1), 5)
