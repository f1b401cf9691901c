"""Run another project's own tests with the integral policies, and show what only they fail.

    git clone https://github.com/DLR-RM/stable-baselines3
    python scripts/run_upstream_tests.py stable-baselines3

The folder is a checkout of Stable-Baselines3, sb3-contrib or imitation; the packages under test are the
installed ones. The tests are copied to a temporary folder and run with the aliases of the integral
policies in place of the policies' names. Those that fail are then run as they are. A test that passes
then is printed, and makes the exit status 1. Arguments behind ``--`` are passed to pytest.

imitation's tests name no policy. They are run with the plugin ``upstream_imitation.py`` of this folder,
which reads from the environment variable ``UPSTREAM_POLICIES`` which policies are wanted: ``stock`` or
``integral``.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ALIASES = {
    "MlpPolicy": "IntegralMlpPolicy",
    "CnnPolicy": "IntegralCnnPolicy",
    "MultiInputPolicy": "IntegralMultiInputPolicy",
    "MlpLstmPolicy": "IntegralMlpPolicy",
    "CnnLstmPolicy": "IntegralCnnPolicy",
    "MultiInputLstmPolicy": "IntegralMultiInputPolicy",
}

CONFIGURATION = "[pytest]\naddopts =\njunit_family = xunit1\n"


class Project(NamedTuple):
    """Where a project keeps the tests that have to do with policies.

    Attributes:
        package: A folder of the checkout that only this project has.
        tests: What is run, in the folder of tests.
        plugin: A pytest plugin in this script's folder that chooses the policies.
    """

    package: str
    tests: tuple[str, ...]
    plugin: str | None = None


SB3_TESTS = (
    "predict",
    "save_load",
    "spaces",
    "deterministic",
    "run",
    "dict_env",
    "custom_policy",
    "vec_normalize",
    "monitor",
)
PROJECTS = (
    Project("stable_baselines3", tuple(f"test_{name}.py" for name in SB3_TESTS)),
    Project("sb3_contrib", ("",)),
    Project(
        "src/imitation", ("algorithms/test_bc.py", "algorithms/test_dagger.py"), "upstream_imitation"
    ),
)


def find_project(checkout: Path) -> Project:
    """Return the project of which a folder is a checkout."""
    for project in PROJECTS:
        if (checkout / project.package).is_dir() and (checkout / "tests").is_dir():
            return project
    known = ", ".join(project.package for project in PROJECTS)
    sys.exit(f"{checkout} is no checkout of a known project, expected tests/ beside one of {known}")


def with_aliases(source: str) -> str:
    """Return source code with the aliases in place of the policies' names."""
    strings = rf"(?<=[\"'])({'|'.join(ALIASES)})(?=[\"'])"
    return re.sub(strings, lambda match: ALIASES[match[0]], source)


def run_tests(
    project: Project, checkout: Path, policies: str, tests: Sequence[str], arguments: Sequence[str]
) -> dict[str, bool]:
    """Run a project's tests from a copy.

    Args:
        project: The project.
        checkout: Its checkout, which is not changed.
        policies: ``stock`` or ``integral``.
        tests: Which tests, by their names in the checkout.
        arguments: Further ones of pytest.

    Returns:
        Whether each test passed or was skipped, by its name in the checkout.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tests"
        shutil.copytree(checkout / "tests", folder)
        if policies == "integral" and project.plugin is None:
            for file in folder.rglob("*.py"):
                file.write_text(with_aliases(file.read_text(encoding="utf-8")), encoding="utf-8")
        (Path(temporary) / "pytest.ini").write_text(CONFIGURATION, encoding="utf-8")
        report = Path(temporary) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "sb3_integral", f"--junitxml={report}"]
        if project.plugin is not None:
            command += ["-p", project.plugin]
        paths = [os.environ.get("PYTHONPATH"), str(Path(__file__).resolve().parent)]
        environment = {
            **os.environ,
            "UPSTREAM_POLICIES": policies,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        subprocess.run([*command, *arguments, *tests], cwd=temporary, env=environment, check=False)
        if not report.is_file():
            sys.exit(f"the tests could not be run with the {policies} policies")
        return dict(read_report(report))


def read_report(path: Path) -> Iterator[tuple[str, bool]]:
    """Iterate over the tests of a report, and over whether they did not fail."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        file = case.get("file", "")
        module = file.removesuffix(".py").replace("/", ".")
        within = case.get("classname", "").removeprefix(module).replace(".", "::")
        name = f"{file}{within}::{case.get('name')}"
        for alias in set(ALIASES.values()):
            name = name.replace(alias, alias.removeprefix("Integral"))
        yield name, not any(child.tag in ("failure", "error") for child in case)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("pytest_arguments", nargs="*", help="put -- before them")
    arguments = parser.parse_args()
    project = find_project(arguments.checkout)
    run = functools.partial(run_tests, project, arguments.checkout.resolve())
    integral = run("integral", [f"tests/{name}" for name in project.tests], arguments.pytest_arguments)
    failed = [name for name, passed in integral.items() if not passed]
    print(f"{len(failed)} of {len(integral)} tests fail with the integral policies", flush=True)
    stock = run("stock", failed, ()) if failed else {}
    ours = [name for name in failed if stock.get(name, False)]
    print(f"{len(ours)} of these pass with the stock policies")
    for name in ours:
        print(f"  {name}")
    sys.exit(1 if ours else 0)


if __name__ == "__main__":
    main()
