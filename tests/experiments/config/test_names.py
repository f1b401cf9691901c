from __future__ import annotations

import subprocess
import sys

import pytest
from rl_zoo3 import ALGOS

from sb3_integral.experiments.config import names
from sb3_integral.imitation import ACTIVATIONS, LOSSES, SUCCESS_CRITERIA
from sb3_integral.nn import KERNELS, QUADRATURES
from sb3_integral.resize import RESIZE_METHODS


@pytest.mark.parametrize(
    ("known", "registry"),
    [
        (names.ALGORITHMS, ALGOS),
        (names.ACTIVATIONS, ACTIVATIONS),
        (names.KERNELS, KERNELS),
        (names.QUADRATURES, QUADRATURES),
        (names.LOSSES, LOSSES),
        (names.SUCCESS_CRITERIA, SUCCESS_CRITERIA),
        (names.RESIZE_METHODS, RESIZE_METHODS),
    ],
)
def test_a_configuration_knows_the_names_of_a_registry(known, registry):
    assert sorted(known) == sorted(registry)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("env: CartPole-v1\nsedes: [0]\n", "sedes: Extra inputs are not permitted"),
        ("env: CartPole-v1\nexpert: {algo: tpro}\n", "(did you mean trpo?)"),
        ("env: CartPol-v1\n", "did you mean CartPole-v1"),
        ("env: [CartPole-v1\n", "cannot be read as YAML"),
    ],
)
def test_a_mistake_is_told_before_torch_is_loaded(tmp_path, text, said):
    # given
    (tmp_path / "mine.yml").write_text(text)
    code = (
        "import sys; sys.argv = ['sb3-integral', 'run', 'mine.yml']\n"
        "from sb3_integral.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    print(end.code)\n"
        "print([name for name in ('torch', 'stable_baselines3', 'pandas') if name in sys.modules])\n"
    )
    # when
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    # then
    assert said in done.stderr
    assert done.stdout == "1\n[]\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yml"]
