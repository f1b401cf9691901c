"""The command line, ``sb3-integral``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; say how to install what it needs if that is not there."""
    from sb3_integral.requirements import require

    try:
        require("experiments", "typer", "rich", "imitation", "rl_zoo3")
    except ImportError as error:
        sys.exit(f"sb3-integral: {error}")
    from sb3_integral.cli.app import app

    app()
