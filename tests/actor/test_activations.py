"""Every row of the table of activations gives what torch gives, with the module's own arguments."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from sb3_integral.actor.activations import (
    ACTIVATIONS,
    C_TANH,
    c_activation,
    is_activation,
    numpy_activation,
)

COMPILER = shutil.which("cc")
TANH = C_TANH.format(tanh="tanh_")
NEED_ARGUMENTS = {nn.Threshold: lambda: nn.Threshold(0.3, 20.0)}
MODULES = [
    *(NEED_ARGUMENTS.get(kind, kind)() for kind in ACTIVATIONS),
    nn.ELU(0.1),
    nn.CELU(2.5),
    nn.LeakyReLU(0.3),
    nn.LeakyReLU(-0.3),
    nn.Softplus(2.0),
    nn.Softplus(0.5, 1.0),
    nn.Hardtanh(-0.2, 0.3),
    nn.GELU(approximate="tanh"),
    nn.PReLU(init=-0.7),
    nn.Threshold(-1.0, 0.0),
    nn.ReLU(inplace=True),
    nn.ELU(0.1, inplace=True),
]
VALUES = np.float32(
    [*np.linspace(-30.0, 30.0, 121), -1e4, 1e4, -1e30, 1e30, 0.0, 1e-30, np.nan, np.inf, -np.inf]
)


def by_torch(module: nn.Module) -> np.ndarray:
    # Number by number: at infinity, some processors' vector instructions make NaN of torch's GELU.
    with torch.no_grad():
        return np.concatenate([module.eval()(value).numpy() for value in torch.tensor(VALUES).split(1)])


def name_of(module: nn.Module) -> str:
    return repr(module)


def close(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_numpy(module: nn.Module) -> None:
    with np.errstate(all="ignore"):
        close(numpy_activation(module)(VALUES.copy()), by_torch(module))


@pytest.fixture(scope="module")
def by_c(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Compile the expressions of all activations, strictly and for speed."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("activations")
    functions = (
        f"float f{number}(float x);\nfloat f{number}(float x) {{ return {expression}; }}\n"
        for number, expression in enumerate(c_activation(module, "tanh_") for module in MODULES)
    )
    (folder / "f.c").write_text("#include <math.h>\n" + TANH + "".join(functions))
    flags = ("-std=c99", "-O3", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wconversion")
    subprocess.run([COMPILER, *flags, folder / "f.c", "-o", folder / "f.so", "-lm"], check=True)
    return ctypes.CDLL(str(folder / "f.so"))


@pytest.mark.parametrize("number", range(len(MODULES)), ids=lambda number: repr(MODULES[number]))
def test_c(number: int, by_c: ctypes.CDLL) -> None:
    function = by_c[f"f{number}"]
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    close(np.float32([function(value) for value in VALUES]), by_torch(MODULES[number]))


def test_the_tangent_of_c_is_off_by_six_units_in_the_last_place_at_most(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given every thousandth float from the smallest to the largest, and all special ones
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("tanh")
    loop = "void f(float *x, long n);\nvoid f(float *x, long n) { while (n--) x[n] = tanh_(x[n]); }\n"
    (folder / "f.c").write_text("#include <math.h>\n" + TANH + loop)
    flags = ("-std=c99", "-O2", "-shared", "-fPIC")
    subprocess.run([COMPILER, *flags, folder / "f.c", "-o", folder / "f.so"], check=True)
    positive = np.arange(0, 0x7F800000, 997, dtype=np.int32).view(np.float32)
    x = np.concatenate([positive, -positive, np.float32([np.inf, -np.inf, np.nan])])
    got = x.copy()
    # when
    ctypes.CDLL(str(folder / "f.so")).f(ctypes.c_void_p(got.ctypes.data), ctypes.c_long(len(got)))
    # then
    wanted = np.tanh(x.astype(np.float64))
    units = np.abs(got[:-1] - wanted[:-1]) / np.spacing(np.abs(wanted[:-1].astype(np.float32)))
    assert units.max() < 6.0
    assert np.isnan(got[-1])
    assert np.abs(got[:-1]).max() <= 1.0
    np.testing.assert_array_equal(np.signbit(got[:-1]), np.signbit(x[:-1]))


def test_one_argument_for_each_neuron_is_for_numpy_only() -> None:
    module = nn.PReLU(3)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.1, -0.5, 2.0]))
    x = np.float32([[-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]])
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    close(numpy_activation(module)(x.copy()), wanted)
    with pytest.raises(ValueError, match="one argument for all neurons, got PReLU"):
        c_activation(module)


def test_what_is_not_in_the_table_is_refused_by_its_name() -> None:
    class Mine(nn.ReLU):
        pass

    for module in (Mine(), nn.Hardshrink(), nn.LayerNorm(3), nn.Softmax(dim=-1)):
        assert not is_activation(module)
        for make in (numpy_activation, c_activation):
            with pytest.raises(ValueError, match=f"got {type(module).__name__}"):
                make(module)
