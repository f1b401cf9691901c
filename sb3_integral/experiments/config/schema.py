"""The configuration of one experiment: the schema of a file in ``zoo_configs/``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, NonNegativeInt, PrivateAttr, ValidationError, model_validator

from sb3_integral.escaping import one_line
from sb3_integral.experiments.config.conditions import (
    Condition,
    PerturbationConfig,
    WeightFormatConfig,
)
from sb3_integral.experiments.config.hyperparams import shipped_hyperparams
from sb3_integral.experiments.config.names import ALGORITHMS, SUCCESS_CRITERIA
from sb3_integral.experiments.config.students import INITIALISATION, CloningSection, StudentConfig
from sb3_integral.experiments.config.values import Count, Name, Section, one_of

if TYPE_CHECKING:
    from sb3_integral.experiments.engine.environment import Environment
    from sb3_integral.imitation import SuccessCriterion

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
"""The name of an importable module."""

EnvironmentName = Annotated[str, Field(pattern=r"^([A-Za-z_][\w.]*:)?[\w./-]+$")]
"""An id of Gymnasium's, with or without the module that registers it: ``Env-v0``, ``module:Env-v0``."""

MOST_LATER_TASKS = 5
"""How many environments can be learned after the first."""

RESERVED_LABELS = ("INN, paper", "NN, paper")  # the labels of the paper's curves in plots


class ExpertConfig(Section):
    """The expert, trained by rl-zoo3, or one that is there already.

    Attributes:
        model: An expert that is there already: the file that an SB3 model's ``save`` wrote. It is loaded
            as SB3 loads it, which can run code in the file.
        vecnormalize: The file of the model's ``VecNormalize``, if it has one; it can run code too.
        algo: An algorithm of rl-zoo3: the one that trains the expert, or that trained ``model``.
        hyperparams: The YAML file with its hyperparameters, in rl-zoo3's format; by default this
            library's for TRPO, and rl-zoo3's own for another algorithm.
        seed: The seed of its training.
        n_timesteps: Steps of training, in place of the file's.
        n_eval_episodes: Deterministic episodes over which its return is measured.
    """

    model: Path | None = None
    vecnormalize: Path | None = None
    algo: Annotated[str, one_of(ALGORITHMS, "algorithm of rl-zoo3")] = "trpo"
    hyperparams: Path = Field(
        default_factory=lambda validated: shipped_hyperparams(validated.get("algo", "trpo"))
    )
    seed: NonNegativeInt = 0
    n_timesteps: Count | None = None
    n_eval_episodes: Count = 100

    @model_validator(mode="after")
    def _check_model(self) -> ExpertConfig:
        if self.vecnormalize is not None and self.model is None:
            raise ValueError("`vecnormalize` belongs to a `model`, expected both")
        if self.n_timesteps is not None and self.model is not None:
            raise ValueError("a `model` is not trained, expected no `n_timesteps`")
        return self


class MinReturnConfig(Section):
    """Success by return."""

    min_return: float


class DemonstrationsConfig(Section):
    """The episodes of the expert that students learn from.

    Attributes:
        episodes: Successful episodes.
        success: Which episodes are successful: ``any``, ``terminated``, ``truncated`` (reached the
            time limit), or ``{min_return: ...}``.
        n_envs: Environments stepped at once.
        deterministic: Whether the expert takes its most likely action. If not, what it drew is recorded.
        noise: How much of its own exploration disturbs a deterministic expert: nothing in the first
            environment, this share in the last, evenly between. Its most likely action is recorded, so
            students see how the expert comes back from mistakes such as theirs.
    """

    episodes: Count = 1000
    success: Annotated[str, one_of(SUCCESS_CRITERIA, "success criterion")] | MinReturnConfig = "any"
    n_envs: Count = 16
    deterministic: bool = True
    noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0

    @model_validator(mode="after")
    def _check_noise(self) -> DemonstrationsConfig:
        if self.noise and not self.deterministic:
            raise ValueError("`noise` disturbs a deterministic expert, expected `deterministic: true`")
        return self

    def criterion(self) -> SuccessCriterion:
        """Return the criterion itself."""
        from sb3_integral.imitation import SUCCESS_CRITERIA, MinReturn

        if isinstance(self.success, MinReturnConfig):
            return MinReturn(self.success.min_return)
        return SUCCESS_CRITERIA[self.success]


class EvaluationConfig(Section):
    """How each student is tested at each size.

    Attributes:
        episodes: Episodes per student, size and seed.
        baseline_episodes: The most episodes for each method by which a plain student is resized, except
            the first; by default as many as for a student.
        n_envs: Environments stepped at once.
        deterministic: Whether the student takes its most likely action.
        perturb: Perturbations of the environment, under each of which every network is tested again.
        quantise: Formats of weights, in each of which every network is tested again.
    """

    episodes: Count = 30
    baseline_episodes: Count | None = None
    n_envs: Count = 15
    deterministic: bool = True
    perturb: tuple[PerturbationConfig, ...] = ()
    quantise: tuple[WeightFormatConfig, ...] = ()

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All conditions under which networks are tested again."""
        return (*self.perturb, *self.quantise)

    @model_validator(mode="after")
    def _check_conditions(self) -> EvaluationConfig:
        names = [condition.name for condition in self.conditions]
        if len(set(names)) != len(names):
            raise ValueError(f"conditions must differ from each other, got {names}")
        return self

    def settings(self, baseline: bool) -> dict[str, Any]:
        """Return the settings for a student, or for a baseline."""
        most = (self.baseline_episodes if baseline else None) or self.episodes
        episodes = min(self.episodes, most)
        return {"episodes": episodes, "n_envs": self.n_envs, "deterministic": self.deterministic}


class ExperimentConfig(Section):
    """One environment, from the expert to the table.

    Attributes:
        name: Name of the folder that the results go to, with the preset's behind it.
        preset: The scale that was chosen for it.
        env: The environment: an id that Gymnasium knows, or ``module:Env-v0``, which imports the module.
        then: Environments with the spaces of ``env`` that the same students learn after it, one after
            another; by default none. Each has an expert of its own, which is trained as ``expert`` says.
        gym_packages: Modules that register environments when they are imported, as rl-zoo3 has it.
        max_episode_steps: A time limit, in place of the environment's own.
        seeds: One independent run of demonstrations, students and evaluation for each.
        sizes: Hidden sizes to evaluate; the first is the full size, to which scores refer.
        students: By short name. The first integral one is compared with every other column.
    """

    name: Name
    preset: Name
    env: EnvironmentName
    then: Annotated[tuple[EnvironmentName, ...], Field(max_length=MOST_LATER_TASKS)] = ()
    gym_packages: tuple[ModuleName, ...] = ()
    max_episode_steps: Count | None = None
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    sizes: Annotated[tuple[Count, ...], Field(min_length=1)]
    expert: ExpertConfig
    demonstrations: DemonstrationsConfig = DemonstrationsConfig()
    students: Annotated[dict[Name, StudentConfig], Field(min_length=1)]
    cloning: CloningSection = CloningSection()
    evaluation: EvaluationConfig = EvaluationConfig()
    _file: Path | None = PrivateAttr(None)

    def read_from(self, path: Path) -> ExperimentConfig:
        """Return the configuration with the file that it was read from."""
        config = self.model_copy()
        config._file = path
        return config

    @property
    def command(self) -> str:
        """What makes its results, on a command line."""
        path = one_line(self._file or f"{self.name}.yml")
        return shlex.join(["sb3-integral", "run", path, "--preset", self.preset])

    @property
    def folder(self) -> str:
        """The name of the folder of its results."""
        return f"{self.name}-{self.preset}"

    @property
    def environment(self) -> Environment:
        """The environment, with the packages that make it known."""
        from sb3_integral.experiments.engine.environment import Environment

        return Environment.from_name(self.env, self.gym_packages, self.max_episode_steps)

    def tasks(self) -> list[ExperimentConfig]:
        """Return the configuration of each environment on its own, in the order they are learned in."""
        return [self.model_copy(update={"env": env, "then": ()}) for env in (self.env, *self.then)]

    def cloning_of(self, student: StudentConfig) -> CloningSection:
        """Return the settings with which a student is cloned."""
        return CloningSection.model_validate({**self.cloning.model_dump(), **student.cloning})

    def training_of(self, student: StudentConfig) -> dict[str, Any]:
        """Return all settings with which a student is cloned, and its own share of the passes."""
        settings = self.cloning_of(student).filled_in()
        return {**settings, "epochs": max(1, round(student.epochs_share * settings["epochs"]))}

    def record(self) -> dict[str, Any]:
        """Return the configuration for a reader of the results, with no path in it."""
        paths = {"hyperparams", "model", "vecnormalize"}
        config = self.model_dump(mode="json", exclude={"expert": paths})
        if not self.then:  # one environment leaves no trace of what there could be
            del config["then"]
        config["cloning"] = self.cloning.filled_in()
        for key in ("perturb", "quantise"):
            if not config["evaluation"][key]:
                del config["evaluation"][key]
        if self.expert.model is not None:
            config["expert"]["model"] = self.expert.model.name
        return config

    @model_validator(mode="after")
    def _check(self) -> ExperimentConfig:
        for what, values in (("seeds", self.seeds), ("sizes", self.sizes)):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must differ from each other, got {list(values)}")
        if not any(student.kind == "integral" for student in self.students.values()):
            raise ValueError("expected at least one integral student")
        self._check_then()
        if INITIALISATION in self.students:
            raise ValueError(
                f"a student cannot be called {INITIALISATION!r}, which `start` has another meaning for"
            )
        for name, student in self.students.items():
            try:
                self.cloning_of(student)
            except ValidationError as error:
                problems = "; ".join(f"{p['loc'][0]}: {p['msg']}" for p in error.errors())
                raise ValueError(f"{name}.cloning: {problems}") from error
            if len(set(student.resize)) != len(student.resize):
                raise ValueError(f"{name}.resize names a method twice: {list(student.resize)}")
            self._check_start(name, student)
            if set(student.hidden_sizes) != {self.sizes[0]}:
                raise ValueError(
                    f"sizes must begin with the full size of every student, got {self.sizes[0]} "
                    f"and {name}.hidden_sizes {list(student.hidden_sizes)}"
                )
        self._check_columns()
        return self

    def _check_then(self) -> None:
        if self.then and self.expert.model is not None:
            raise ValueError(
                "`then` has an expert trained in each environment, expected no `expert.model`"
            )
        ids = [name.rpartition(":")[2] for name in (self.env, *self.then)]
        if len(set(ids)) != len(ids):
            raise ValueError(f"`env` and `then` must name environments that differ, got {ids}")

    def _check_columns(self) -> None:
        """Check that no two columns of the table have one name, or one label."""
        names: dict[str, str] = {}
        labels = dict.fromkeys(map(_as_read, RESERVED_LABELS), "the paper")
        for student, config in self.students.items():
            for name, label, _ in config.columns(student):
                read = _as_read(label)
                if name in names:
                    raise ValueError(
                        f"student {student!r} has the name of a column of {names[name]!r}, "
                        f"{name!r}, expected another name"
                    )
                if read in labels:
                    raise ValueError(
                        f"students.{student}.label: {label!r} is a label of {labels[read]} already, "
                        f"expected labels that differ"
                    )
                names[name] = labels[read] = student

    def _check_start(self, name: str, student: StudentConfig) -> None:
        if student.start in (None, INITIALISATION):
            return
        plain = self.students.get(student.start)
        if plain is None or plain.kind != "plain":
            raise ValueError(
                f"{name}.start must name a plain student, got {student.start!r}; "
                f"or it is {INITIALISATION!r}"
            )
        for what in ("hidden_sizes", "activation", "standardize"):
            value, other = getattr(student, what), getattr(plain, what)
            if value != other:
                said = f"{name} starts from {student.start}, expected the same {what}"
                raise ValueError(f"{said}, got {value} and {other}")


def _as_read(label: str) -> str:
    return " ".join(label.split()).casefold()
