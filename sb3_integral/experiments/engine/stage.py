"""A stage: a folder that is made once, and again only if what it depends on changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_folder, check_folder_target
from sb3_integral.experiments.engine.environment import Environment, current_versions
from sb3_integral.experiments.engine.versions import differences, versions_of, versions_of_modules

RECORD = "stage.json"
"""Written last into a stage's folder: says what made it, and that it is whole."""

Report = Callable[[float], None]
"""Takes the fraction of a stage that is done."""


@dataclass(frozen=True)
class Stage:
    """One step of an experiment, whose result is a folder.

    Attributes:
        name: Its folder, relative to the experiment's.
        run: Fills an empty folder. It is called as ``run(folder, report, **needed folders, **inputs)``,
            with ``env_id`` if the stage has an environment. It has to be importable by name, because it
            may run in another process.
        inputs: Everything else that the result depends on, seeds included; JSON values.
        needs: The stages whose folders it reads, by the name of the argument that takes the folder, or
            the list of folders.
        environment: The environment that it uses.
        packages: Distributions whose versions the result depends on, besides the environment's own.
        modules: Modules of the user's, such as a wrapper's, whose code the result depends on.
        amount: How much work it is, in a unit of its own, such as episodes; forecasts scale with it.
    """

    name: str
    run: Callable[..., None]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Stage | tuple[Stage, ...]] = field(default_factory=dict)
    environment: Environment | None = None
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    amount: float = 1.0

    @cached_property
    def needed(self) -> tuple[Stage, ...]:
        """All stages whose folders it reads."""
        return tuple(
            stage
            for need in self.needs.values()
            for stage in (need if isinstance(need, tuple) else (need,))
        )

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions that the result depends on, in the process that plans the run."""
        found = versions_of(self.packages) | versions_of_modules(self.modules)
        return found if self.environment is None else found | self.environment.versions

    @cached_property
    def key(self) -> str:
        """A digest of all that the result depends on."""
        needs = {
            name: [stage.key for stage in need] if isinstance(need, tuple) else need.key
            for name, need in self.needs.items()
        }
        content = {
            "stage": self.name,
            "function": self.function,
            "inputs": self.inputs,
            "needs": needs,
            "environment": None if self.environment is None else asdict(self.environment),
            "version": __version__,
            "versions": self.versions,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def function(self) -> str:
        """The name of what makes it."""
        return f"{self.run.__module__}.{self.run.__qualname__}"

    def folder(self, root: Path) -> Path:
        """Return where the result is."""
        return root / self.name

    def record(self, root: Path) -> dict[str, Any]:
        """Return what was recorded when its folder was made; nothing if there is no such record."""
        try:
            record = json.loads((self.folder(root) / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) else {}

    def is_done(self, root: Path) -> bool:
        """Return whether the folder is there and was made from what the stage depends on now."""
        return bool(self.record(root).get("key") == self.key)

    def check_target(self, root: Path) -> None:
        """Check, before any work, that the folder can be written.

        Raises:
            OSError: If something stands there that is no stage's folder, or writing is not permitted.
        """
        check_folder_target(self.folder(root), RECORD)

    def execute(self, root: Path, report: Report) -> None:
        """Make the folder; if that fails or is interrupted, none is left.

        Raises:
            OSError: As for :meth:`check_target`, before any work is done.
            RuntimeError: If this process has other versions than the one that planned the run.
        """
        started = time.perf_counter()
        place = nullcontext() if self.environment is None else self.environment.registered()
        with place, atomic_folder(self.folder(root), RECORD) as partial:
            self._check_versions()
            self.run(partial, report, **self._arguments(root))
            record = {
                "key": self.key,
                "function": self.function,
                "inputs": self.inputs,
                "environment": None if self.environment is None else asdict(self.environment),
                "version": __version__,
                "versions": self.versions,
                "seconds": round(time.perf_counter() - started, 2),
                "amount": self.amount,
            }
            text = json.dumps(record, indent=2) + "\n"
            (partial / RECORD).write_text(text, encoding="utf-8")

    def _arguments(self, root: Path) -> dict[str, Any]:
        folders = {
            name: [stage.folder(root) for stage in need]
            if isinstance(need, tuple)
            else need.folder(root)
            for name, need in self.needs.items()
        }
        environment = {} if self.environment is None else {"env_id": self.environment.id}
        return {**environment, **folders, **self.inputs}

    def _check_versions(self) -> None:
        here = versions_of(self.packages) | versions_of_modules(self.modules)
        if self.environment is not None:
            here |= current_versions(self.environment)
        if changes := differences(self.versions, here):
            raise RuntimeError(
                f"the run was planned with other versions than are here: {'; '.join(changes)}. "
                f"Start the run again, with the same versions on every machine"
            )
