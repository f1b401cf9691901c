from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What a user who has only SB3 can do with the wheel, and what they are told they cannot.
USER_CODE = """
    import importlib.util
    import sys

    assert importlib.util.find_spec("imitation") is None
    assert importlib.util.find_spec("sb3_contrib") is None
    import sb3_integral
    from stable_baselines3 import A2C, PPO

    public = ["IntegralActorCriticPolicy", "ResizablePolicy", "evaluate_resize_sweep"]
    assert all(hasattr(sb3_integral, name) for name in public)
    assert not any(name.startswith(str(sys.argv[1])) for name in sys.path), sys.path
    for algorithm in (PPO, A2C):
        model = algorithm("IntegralMlpPolicy", "CartPole-v1", n_steps=64, device="cpu").learn(64)
        rows = sb3_integral.evaluate_resize_sweep(model.policy, model.get_env(), [64, 8], 2)
        assert [row.size for row in rows] == [64, 64, 8, 8]
    try:
        import sb3_integral.imitation
    except ImportError as error:
        print(error)
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )


def succeed(*command: str | Path, cwd: Path) -> str:
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_wheel_works_where_there_is_sb3_but_not_imitation(tmp_path: Path) -> None:
    # given an environment with SB3, and the wheel
    uv = Path(sys.executable).parent / "uv"
    succeed(uv, "venv", "--quiet", "--seed", "--python", sys.executable, "user", cwd=tmp_path)
    python = tmp_path / "user" / "bin" / "python"
    sb3 = f"stable-baselines3=={version('stable-baselines3')}"
    torch = f"torch=={version('torch').partition('+')[0]}"
    succeed(uv, "pip", "install", "--quiet", "--python", python, sb3, torch, cwd=tmp_path)
    build = (sys.executable, "-m", "build", "--wheel", "--installer", "uv", "--outdir", tmp_path)
    succeed(*build, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")

    # when it is installed by plain pip
    succeed(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    # then the alias and the public names work, and what needs imitation says how to get it
    said = succeed(python, "-c", textwrap.dedent(USER_CODE), ROOT, cwd=tmp_path)
    assert "needs imitation" in said
    assert 'pip install "sb3-integral[imitation]"' in said
    told = run(tmp_path / "user" / "bin" / "sb3-integral", "--help", cwd=tmp_path)
    assert told.returncode == 1
    assert 'pip install "sb3-integral[deploy]"' in told.stderr
    # and experts can be trained without a checkout
    (shipped,) = (tmp_path / "user").glob("lib/python*/site-packages/sb3_integral/hyperparams/trpo.yml")
    assert shipped.read_text() == (ROOT / "hyperparams" / "trpo.yml").read_text()
