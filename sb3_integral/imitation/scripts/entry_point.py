"""One of imitation's scripts, run as imitation runs it, with what keeps it from working repaired."""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

SCRIPTS = ("train_imitation", "train_adversarial", "eval_policy")
"""The scripts of imitation that can be run here, by name."""

PRELOADED = ["imitation.util.util", "sb3_integral"]
"""What the processes of environments need, loaded once for all of them."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one of imitation's scripts by sacred's command line.

    Two named configurations are added to each script:

    - ``integral_student``: the student (the generator of GAIL and AIRL) is integral, of 100 x 100. In
      ``eval_policy`` it is what is evaluated.
    - ``trpo_expert``: the expert is a file of sb3-contrib's TRPO, named by
      ``expert.loader_kwargs.path``.

    imitation and sacred are changed for the rest of the process; see
    :mod:`sb3_integral.imitation.scripts.repairs`. The scripts save policies, and these loaders read
    them, in SB3's and imitation's own formats, which are pickles: name only files that you trust.

    Args:
        argv: The script's name, then what it would take behind its name; the process' own arguments by
            default.

    Raises:
        SystemExit: If there is no such script, or if the script fails.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    script = arguments[0] if arguments else None
    if script not in SCRIPTS:
        known = ", ".join(SCRIPTS)
        sys.exit(
            f"expected the name of a script, one of {known}, got {script!r}; "
            f"`sb3-integral imitation --help` explains them"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # sacred imports it
        from sacred.observers import FileStorageObserver

        from sb3_integral.imitation.scripts.repairs import repaired_experiment

    experiment = repaired_experiment(script)
    # Where imitation's own main puts its records.
    experiment.observers[:] = [FileStorageObserver(Path.cwd() / "output" / "sacred" / script)]
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    experiment.run_commandline(arguments)
