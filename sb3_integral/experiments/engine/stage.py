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

RECORD = "stage.json"  # written last into a stage's folder: says what made it, and that it is whole

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
        paths: Arguments that say where a file is whose content the inputs identify. The result does not
            depend on them, and they are not recorded.
        amount: How much work it is, in a unit of its own, such as episodes; forecasts scale with it.
    """

    name: str
    run: Callable[..., None]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Stage | tuple[Stage, ...]] = field(default_factory=dict)
    environment: Environment | None = None
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    amount: float = 1.0

    @cached_property
    def needed(self) -> tuple[Stage, ...]:
        """All stages whose folders it reads."""
        needs = (need if isinstance(need, tuple) else (need,) for need in self.needs.values())
        return tuple(stage for need in needs for stage in need)

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions that the result depends on, in the process that plans the run."""
        found = versions_of(self.packages) | versions_of_modules(self.modules)
        return found if self.environment is None else found | self.environment.versions

    @cached_property
    def key(self) -> str:
        """A digest of all that the result depends on."""
        needs = self._of_needs(lambda stage: stage.key)
        content = {"stage": self.name, "needs": needs, **self._origin()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def function(self) -> str:
        """The name of the function that makes it."""
        return f"{self.run.__module__}.{self.run.__qualname__}"

    def folder(self, root: Path) -> Path:
        """Return where the result is."""
        return root / self.name

    def record(self, root: Path) -> dict[str, Any]:
        """Return the record that its folder was made with; nothing if there is none."""
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
            folders = self._of_needs(lambda stage: stage.folder(root))
            environment = {} if self.environment is None else {"env_id": self.environment.id}
            self.run(partial, report, **environment, **folders, **self.inputs, **self.paths)
            seconds = round(time.perf_counter() - started, 2)
            record = {"key": self.key, **self._origin(), "seconds": seconds, "amount": self.amount}
            text = json.dumps(record, indent=2) + "\n"
            (partial / RECORD).write_text(text, encoding="utf-8")

    def _origin(self) -> dict[str, Any]:
        return {
            "function": self.function,
            "inputs": self.inputs,
            "environment": None if self.environment is None else asdict(self.environment),
            "version": __version__,
            "versions": self.versions,
        }

    def _of_needs(self, value: Callable[[Stage], Any]) -> dict[str, Any]:
        """Return a value of each stage that it needs, by the name of the argument."""
        return {
            name: [value(stage) for stage in need] if isinstance(need, tuple) else value(need)
            for name, need in self.needs.items()
        }

    def _check_versions(self) -> None:
        here = versions_of(self.packages) | versions_of_modules(self.modules)
        if self.environment is not None:
            here |= current_versions(self.environment)
        if changes := differences(self.versions, here):
            raise RuntimeError(
                f"the run was planned with other versions than are here: {'; '.join(changes)}. "
                f"Start the run again, with the same versions on every machine"
            )
