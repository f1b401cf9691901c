from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

COMPILER = shutil.which("cc")
WARNINGS = ("-Wall", "-Wextra", "-pedantic", "-Werror", "-Wconversion", "-Wdouble-promotion")
C_FLAGS = ("-std=c99", *WARNINGS)


@pytest.fixture(scope="session")
def act_in_c(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., np.ndarray[Any, Any]]:
    """Compile a header and let it act on observations, one by one, with masks or without."""

    if COMPILER is None:
        pytest.skip("there is no C compiler")

    def actions(
        header: Path, observations: Any, space: spaces.Space[Any], masks: Any = None
    ) -> np.ndarray[Any, Any]:
        folder = tmp_path_factory.mktemp("c")
        real = "double" if "const double *observation" in header.read_text(encoding="ascii") else "float"
        one_choice = isinstance(space, spaces.Discrete)
        number, dtype = ("float", np.float32) if isinstance(space, spaces.Box) else ("int", np.int32)
        takes_masks = "const unsigned char *allowed" in header.read_text(encoding="ascii")
        last = ", allowed" if takes_masks else ""
        call = "action[0] = policy_act(observation" if one_choice else "policy_act(observation, action"
        head = f"void act(const {real} *observation, {number} *action, const unsigned char *allowed)"
        (folder / "act.c").write_text(
            f'#include "{header}"\n{head};\n{head} {{ {call}{last}); (void)allowed; }}\n'
        )
        flags = (*C_FLAGS, "-O1", "-shared", "-fPIC")
        assert COMPILER is not None
        library = folder / "act.so"
        built = subprocess.run(
            [COMPILER, *flags, folder / "act.c", "-o", library, "-lm"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stderr
        call_c = ctypes.CDLL(str(library)).act
        rows = []
        assert takes_masks or masks is None
        given = np.asarray(observations, np.float64 if real == "double" else np.float32)
        for number_of_row, observation in enumerate(given):
            row = np.full(space.shape or (), -99, dtype)
            given_to_c = [np.ascontiguousarray(observation), row]
            if masks is not None:
                given_to_c.append(np.ascontiguousarray(masks[number_of_row], np.uint8))
            pointers = [ctypes.c_void_p(array.ctypes.data) for array in given_to_c]
            call_c(*pointers, *([None] if masks is None else []))
            rows.append(row)
        return np.stack(rows)

    return actions


@pytest.fixture(scope="session")
def run_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], int]:
    """Compile the body of a main function with a header, with sanitizers; return how it exits."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")

    def run(header: Path, body: str) -> int:
        folder = tmp_path_factory.mktemp("run")
        main = f'#include "{header}"\nint main(void)\n{{\n    {body}\n}}\n'
        (folder / "main.c").write_text(main, encoding="ascii")
        sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        flags = (*C_FLAGS, "-O2", *sanitizers)
        command = [str(COMPILER), *flags, folder / "main.c", "-o", folder / "main", "-lm"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
        return subprocess.run([folder / "main"], check=False).returncode

    return run
