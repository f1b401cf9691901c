"""Run other projects' own tests with the stock policies, then with the integral ones, and compare.

    python scripts/run_upstream_tests.py                            # all three projects
    python scripts/run_upstream_tests.py FOLDER --pytest "-n 2 -k spaces"

FOLDER is a checkout or an unpacked source archive of Stable-Baselines3, sb3-contrib or imitation, in the
version that is installed. Without one, the source archives of the installed versions are downloaded, for
they hold the tests. A copy of these runs as it is, and with our aliases in place of the policies' names;
imitation's tests name none, so ``upstream_imitation.py`` chooses their policies. The last lines say how
many tests of each project passed, and name those that pass with the stock policies only; if there are
any, the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

ALIASES = {
    "MlpPolicy": "IntegralMlpPolicy",
    "CnnPolicy": "IntegralCnnPolicy",
    "MultiInputPolicy": "IntegralMultiInputPolicy",
    "MlpLstmPolicy": "IntegralMlpPolicy",
    "CnnLstmPolicy": "IntegralCnnPolicy",
    "MultiInputLstmPolicy": "IntegralMultiInputPolicy",
}
SB3_TESTS = "predict save_load spaces deterministic run dict_env custom_policy vec_normalize monitor"
# What of each project's tests has to do with policies.
TESTS = {
    "stable_baselines3": [f"tests/test_{name}.py" for name in SB3_TESTS.split()],
    "sb3_contrib": ["tests"],
    "imitation": ["tests/algorithms/test_bc.py", "tests/algorithms/test_dagger.py"],
}
# Not counted: they replace counters of CrossQ by numbers drawn from 0 to 9, and fail if one comes out as
# it was, with the stock policy too.
BY_CHANCE = {
    "tests.test_save_load::test_save_load[CrossQ]",
    "tests.test_save_load::test_save_load_policy[MlpPolicy-CrossQ]",
}


def project_of(checkout: Path) -> str:
    """Return the name of the package whose checkout a folder is."""
    for project in TESTS:
        package = any((checkout / parent / project).is_dir() for parent in ("", "src"))
        if package and (checkout / "tests").is_dir():
            return project
    sys.exit(f"{checkout} is no checkout of {', '.join(TESTS)} with its tests")


def download(project: str, folder: Path) -> Path:
    """Return the unpacked source archive of the installed version."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "--dest", folder, f"{project}=={version(project)}"], check=True)
    (archive,) = folder.glob(f"{project}-*.tar.gz")
    shutil.unpack_archive(archive, folder)
    return folder / archive.name.removesuffix(".tar.gz")


def passed_tests(project: str, checkout: Path, policies: str, arguments: Sequence[str]) -> set[str]:
    """Run a project's tests from a copy.

    Args:
        project: The name of its package.
        checkout: The folder that holds ``tests``. It is not changed.
        policies: ``stock`` or ``integral``.
        arguments: Further ones of pytest.

    Returns:
        The tests that passed, by names that do not depend on the policies.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, report = Path(temporary), Path(temporary, "report.xml")
        shutil.copytree(checkout / "tests", folder / "tests")
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "sb3_integral", f"--junitxml={report}"]
        if project == "imitation":
            shutil.copy(Path(__file__).with_name("upstream_imitation.py"), folder)
            command += ["-p", "upstream_imitation"]
        elif policies == "integral":
            for file in folder.rglob("*.py"):
                file.write_text(with_aliases(file.read_text(encoding="utf-8")), encoding="utf-8")
        environment = {**os.environ, "UPSTREAM_POLICIES": policies}
        subprocess.run([*command, *TESTS[project], *arguments], cwd=folder, env=environment, check=False)
        if not report.is_file():
            sys.exit(f"the tests of {project} could not be run with the {policies} policies")
        passed = {
            re.sub("Integral|Lstm(?=Policy)", "", f"{case.get('classname')}::{case.get('name')}")
            for case in ElementTree.parse(report).iter("testcase")
            if not any(child.tag in {"failure", "error", "skipped"} for child in case)
        }
        return passed - BY_CHANCE


def with_aliases(source: str) -> str:
    """Return source code with the aliases in place of the policies' names."""
    strings = rf"(?<=[\"'])({'|'.join(ALIASES)})(?=[\"'])"
    return re.sub(strings, lambda match: ALIASES[match[0]], source)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="*", type=Path)
    parser.add_argument("--pytest", metavar="ARGUMENTS", type=shlex.split, default=[])
    arguments = parser.parse_args()
    lines, only_stock = [], False
    with tempfile.TemporaryDirectory() as temporary:
        folders = arguments.folders or [download(project, Path(temporary)) for project in TESTS]
        for checkout in folders:
            project = project_of(checkout)
            stock, ours = (
                passed_tests(project, checkout, policies, arguments.pytest)
                for policies in ("stock", "integral")
            )
            lines += [
                f"{project} {version(project)}: {len(stock)} passed stock, {len(ours)} passed ours, "
                f"{len(stock - ours)} fail only with ours",
                *(f"  {name}" for name in sorted(stock - ours)),
            ]
            only_stock |= bool(stock - ours)
    print("\n".join(lines))
    sys.exit(only_stock)


if __name__ == "__main__":
    main()
