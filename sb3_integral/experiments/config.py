"""The configuration of one experiment: what a file in ``zoo_configs/`` may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    ValidationError,
    model_validator,
)
from rl_zoo3 import ALGOS

from sb3_integral.experiments.expert import shipped_hyperparams
from sb3_integral.experiments.presets import apply_preset, preset_names
from sb3_integral.imitation import (
    ACTIVATIONS,
    LOSSES,
    SUCCESS_CRITERIA,
    GivenSizes,
    LogUniformSizes,
    MinReturn,
    PowerLawSizes,
    SizeDistribution,
    StudentArchitecture,
    SuccessCriterion,
    UniformSizes,
)
from sb3_integral.nn import KERNELS, QUADRATURES, SmoothnessPenalty
from sb3_integral.resize import RESIZE_METHODS


def _one_of(known: dict[str, Any], what: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}")
        return name

    return AfterValidator(check)


Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""What can be the name of a folder."""

Count = Annotated[int, Field(strict=True, gt=0)]
"""A positive integer; unlike pydantic's, not a bool, nor text that looks like one."""


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ExpertConfig(Section):
    """The expert, trained by rl-zoo3, or one that is there already.

    Attributes:
        model: An expert that is there already: the file that an SB3 model's ``save`` left. It is loaded
            as SB3 loads it, which can run code that is in the file.
        vecnormalize: The file of its ``VecNormalize``, if it was trained with one. Likewise.
        algo: An algorithm of rl-zoo3; with ``model``, that of the model.
        hyperparams: The YAML file with its hyperparameters, in rl-zoo3's format; the one of this library
            for TRPO, and rl-zoo3's own for another algorithm, if it is not given.
        seed: Its seed.
        n_timesteps: In place of the file's.
        n_eval_episodes: Deterministic episodes over which its return is reported.
    """

    model: Path | None = None
    vecnormalize: Path | None = None
    algo: Annotated[str, _one_of(ALGOS, "algorithm of rl-zoo3")] = "trpo"
    hyperparams: Path
    seed: NonNegativeInt = 0
    n_timesteps: Count | None = None
    n_eval_episodes: Count = 100

    @model_validator(mode="before")
    @classmethod
    def _take_shipped_hyperparams(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("hyperparams") is None:
            algo = str(content.get("algo", "trpo"))
            return {**content, "hyperparams": shipped_hyperparams(algo)}
        return content

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
    """What the students see of the expert.

    Attributes:
        episodes: Successful episodes.
        success: Which episodes are successful: ``any``, ``terminated``, ``truncated`` (reached the
            time limit), or ``{min_return: ...}``.
        n_envs: Environments stepped at once.
        deterministic: Whether the expert takes its most likely action. If not, what it drew is recorded.
        noise: If deterministic: how much of its own exploration disturbs it, while its most likely
            action is recorded: none of it in the first environment, so much in the last, evenly
            between. Students then see how the expert comes back from mistakes such as theirs.
    """

    episodes: Count = 1000
    success: Annotated[str, _one_of(SUCCESS_CRITERIA, "success criterion")] | MinReturnConfig = "any"
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
        if isinstance(self.success, MinReturnConfig):
            return MinReturn(self.success.min_return)
        return SUCCESS_CRITERIA[self.success]


class RandomSizesConfig(Section):
    """Which sizes an integral student is trained at.

    Attributes:
        distribution: ``uniform``, ``log-uniform``, ``power-law`` with the two settings below, or
            ``given``.
        sizes: If given: each of these equally often, and none between.
        low: The smallest size, unless sizes are given.
        high: The largest size, likewise.
        exponent: How fast the density of a power law falls.
        largest: Its probability of the largest size, whatever the law says.
        small: How many small sizes every step has beside the one that is drawn.
        sandwich: Whether every step instead has the largest, the smallest and two random sizes, with
            in-place distillation: how slimmable networks are trained.
    """

    distribution: Literal["uniform", "log-uniform", "power-law", "given"] = "power-law"
    sizes: tuple[Count, ...] | None = None
    low: Count = 5
    high: Count = 100
    exponent: float = 1.5
    largest: float = 0.15
    small: NonNegativeInt = 3
    sandwich: bool = False

    @model_validator(mode="after")
    def _check(self) -> RandomSizesConfig:
        if (self.sizes is not None) != (self.distribution == "given"):
            raise ValueError("`sizes` belong to `distribution: given`, expected both")
        self.build()
        return self

    def build(self) -> SizeDistribution:
        """Return the distribution itself."""
        if self.sizes is not None:
            return GivenSizes(self.sizes)
        if self.distribution == "power-law":
            return PowerLawSizes(self.low, self.high, self.exponent, self.largest)
        kind = UniformSizes if self.distribution == "uniform" else LogUniformSizes
        return kind(self.low, self.high)


class SmoothnessConfig(Section):
    """See :class:`~sb3_integral.nn.SmoothnessPenalty`."""

    total_variation: Annotated[float, Field(ge=0.0)] = 0.0
    spectral: Annotated[float, Field(ge=0.0)] = 0.0

    def build(self) -> SmoothnessPenalty:
        """Return the penalty itself."""
        return SmoothnessPenalty(self.total_variation, self.spectral)


class StudentConfig(Section):
    """A student and how it is trained and resized.

    Attributes:
        kind: ``integral``, ``plain``, or ``scratch``: a plain network trained at each size, the limit of
            what that size can hold.
        label: What tables and plots call it.
        hidden_sizes: Full size of each hidden layer.
        activation: Of the hidden layers; SB3's own default is tanh, the paper has ReLU.
        standardize: Whether observations are standardised.
        grid_size: λ nodes per hidden layer, if integral.
        kernel: If integral.
        quadrature: If integral.
        nested: If integral: whether partitions nest; the paper's do not.
        scale_levels: If nested: how far down λ has corrections that depend on the scale, one number or
            one for each layer (``[0, 0, 9]`` corrects the output alone); null for the default.
        random_sizes: If integral: sizes drawn in training; null trains at full size only.
        smoothness: If integral: penalties on how fast weights vary along an axis.
        start: If integral: the plain student of whose trained and permuted weights it is made at first.
        cloning: What is other than in the experiment's :class:`CloningConfig` for this student.
        resize: If plain: the methods by which it is resized; ``all`` stands for every known one.
    """

    kind: Literal["integral", "plain", "scratch"]
    label: str
    hidden_sizes: tuple[Count, ...] = (100, 100)
    activation: Annotated[str, _one_of(ACTIVATIONS, "activation")] = "tanh"
    standardize: bool = True
    grid_size: Count | None = None
    kernel: Annotated[str, _one_of(KERNELS, "kernel")] = "cubic"
    quadrature: Annotated[str, _one_of(QUADRATURES, "quadrature")] = "trapezoidal"
    nested: bool = True
    scale_levels: NonNegativeInt | tuple[NonNegativeInt, ...] | None = None
    random_sizes: RandomSizesConfig | None = None
    smoothness: SmoothnessConfig | None = None
    start: Name | None = None
    cloning: dict[str, Any] = {}
    resize: Annotated[
        tuple[Annotated[str, _one_of(RESIZE_METHODS, "resize method")], ...],
        BeforeValidator(lambda value: tuple(RESIZE_METHODS) if value == "all" else value),
    ] = ()

    @model_validator(mode="after")
    def _check_kind(self) -> StudentConfig:
        if self.kind == "plain" and (self.random_sizes is not None or not self.resize):
            raise ValueError("a plain student needs `resize` methods and takes no `random_sizes`")
        if self.kind == "integral" and self.resize:
            raise ValueError("an integral student resizes itself, expected no `resize` methods")
        if self.kind == "scratch" and (self.random_sizes is not None or self.resize):
            raise ValueError(
                "a student from scratch is trained at each size, expected neither `resize` "
                "nor `random_sizes`"
            )
        if self.kind != "integral" and (self.smoothness is not None or self.start is not None):
            raise ValueError(
                f"a {self.kind} student has no functions along an axis, "
                f"expected neither `smoothness` nor `start`"
            )
        if self.scale_levels and not self.nested:
            raise ValueError(f"scale_levels={self.scale_levels} needs partitions that nest")
        if not self.hidden_sizes:
            raise ValueError("`hidden_sizes` must name at least one hidden layer")
        return self

    def architecture(self, size: int | None = None) -> StudentArchitecture:
        """Return what the student is made of.

        Args:
            size: Of each hidden layer, in place of the full sizes.
        """
        return StudentArchitecture(
            kind="integral" if self.kind == "integral" else "plain",
            hidden_sizes=self.hidden_sizes if size is None else (size,) * len(self.hidden_sizes),
            activation=self.activation,
            standardize=self.standardize,
            grid_size=self.grid_size,
            kernel=self.kernel,
            quadrature=self.quadrature,
            nested=self.nested,
            scale_levels=self.scale_levels,
        )


class CloningConfig(Section):
    """Behavioural cloning of every student; the paper has Adam at a constant 0.001 for 30 epochs.

    Attributes:
        epochs: Passes over the demonstrations.
        batch_size: Transitions in a step.
        learning_rate: Adam's.
        schedule: ``cosine`` to zero, or ``constant``.
        loss: ``clipped``, which sees actions as the environment does, ``paper``, or ``distribution``:
            how far the student's action distribution is from the expert's own.
    """

    epochs: Count = 30
    batch_size: Count = 256
    learning_rate: PositiveFloat = 3e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    loss: Annotated[str, _one_of(LOSSES, "loss")] = "clipped"


class EvaluationConfig(Section):
    """How each student is tested at each size.

    Attributes:
        episodes: Episodes per student, size and seed.
        baseline_episodes: At most so many for each method by which a plain student is resized, but the
            first; as many as for a student by default.
        n_envs: Environments stepped at once.
        deterministic: Whether the student takes its most likely action.
    """

    episodes: Count = 30
    baseline_episodes: Count | None = None
    n_envs: Count = 15
    deterministic: bool = True

    def of(self, baseline: bool) -> dict[str, Any]:
        """Return the settings for a student, or for a baseline."""
        episodes = self.episodes
        if baseline and self.baseline_episodes is not None:
            episodes = min(episodes, self.baseline_episodes)
        return {"episodes": episodes, "n_envs": self.n_envs, "deterministic": self.deterministic}


class ExperimentConfig(Section):
    """One environment, from the expert to the table.

    Attributes:
        name: Name of the folder that the results go to, with the preset's behind it.
        preset: The scale that was chosen for it.
        env: The environment's id.
        seeds: One independent run of demonstrations, students and evaluation for each.
        sizes: Hidden sizes to evaluate; the first is the full size, to which scores refer.
        students: By short name. The first integral one is compared with every other column.
    """

    name: Name
    preset: Name
    env: str
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    sizes: Annotated[tuple[Count, ...], Field(min_length=1)]
    expert: ExpertConfig
    demonstrations: DemonstrationsConfig = DemonstrationsConfig()
    students: Annotated[dict[Name, StudentConfig], Field(min_length=1)]
    cloning: CloningConfig = CloningConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def folder(self) -> str:
        """The name of the folder of its results."""
        return f"{self.name}-{self.preset}"

    def cloning_of(self, student: StudentConfig) -> CloningConfig:
        """Return how a student is cloned."""
        return CloningConfig.model_validate({**self.cloning.model_dump(), **student.cloning})

    def record(self) -> dict[str, Any]:
        """Return the configuration as what a reader of results has to know, with no path in it."""
        paths = {"hyperparams", "model", "vecnormalize"}
        config = self.model_dump(mode="json", exclude={"expert": paths})
        if self.expert.model is not None:
            config["expert"]["model"] = self.expert.model.name
        return config

    @model_validator(mode="after")
    def _check(self) -> ExperimentConfig:
        if self.env not in gym.registry:
            raise ValueError(f"environment {self.env!r} is not registered with Gymnasium")
        for what, values in (("seeds", self.seeds), ("sizes", self.sizes)):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must differ from each other, got {list(values)}")
        if not any(student.kind == "integral" for student in self.students.values()):
            raise ValueError("expected at least one integral student")
        for name, student in self.students.items():
            try:
                self.cloning_of(student)
            except ValidationError as error:
                problems = "; ".join(f"{p['loc'][0]}: {p['msg']}" for p in error.errors())
                raise ValueError(f"{name}.cloning: {problems}") from error
            if len(set(student.resize)) != len(student.resize):
                raise ValueError(f"{name}.resize names a method twice: {list(student.resize)}")
            for other in self.students:
                if any(other == f"{name}_{method.replace('-', '_')}" for method in student.resize):
                    raise ValueError(f"student {other!r} has the name of a column of {name!r}")
            self._check_start(name, student)
            if set(student.hidden_sizes) != {self.sizes[0]}:
                raise ValueError(
                    f"sizes must begin with the full size of every student, got {self.sizes[0]} "
                    f"and {name}.hidden_sizes {list(student.hidden_sizes)}"
                )
        return self

    def _check_start(self, name: str, student: StudentConfig) -> None:
        if student.start is None:
            return
        plain = self.students.get(student.start)
        if plain is None or plain.kind != "plain":
            raise ValueError(f"{name}.start must name a plain student, got {student.start!r}")
        for what in ("hidden_sizes", "activation", "standardize"):
            own, other = getattr(student, what), getattr(plain, what)
            if own != other:
                raise ValueError(
                    f"{name} starts from {student.start}, expected the same {what}, "
                    f"got {own} and {other}"
                )


class ConfigError(ValueError):
    """A configuration file that cannot be used, and why."""


def load_config(path: Path, preset: str | None = None) -> ExperimentConfig:
    """Read and check a configuration; the expert's files are relative to it.

    Args:
        path: The file.
        preset: The scale; None takes the file's ``default_preset``, or ``standard``.

    Raises:
        ConfigError: If the file is not there, is not YAML, or holds a value that is not allowed, or
            if there is no such preset.
    """
    content = _read(path)
    try:
        content = apply_preset(content, preset)
    except ValueError as error:
        raise ConfigError(f"{path} is not a valid experiment:\n  {error}") from error
    try:
        config = ExperimentConfig.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(map(str, problem['loc'])) or 'experiment'}: "
            f"{problem['msg']} (got {_short(problem['input'])})"
            for problem in error.errors()
        )
        raise ConfigError(f"{path} is not a valid experiment:\n{problems}") from error
    files = {}
    for name in ("hyperparams",) if config.expert.model is None else ("model", "vecnormalize"):
        given = getattr(config.expert, name)
        if given is not None:
            files[name] = (path.parent / given).resolve()
            if not files[name].is_file():
                raise ConfigError(
                    f"{path} is not a valid experiment:\n  expert.{name}: no file {files[name]}"
                )
    expert = config.expert.model_copy(update=files)
    return config.model_copy(update={"expert": expert})


def load_presets(path: Path) -> list[str]:
    """Return the names of a configuration's presets.

    Raises:
        ConfigError: If the file is not there, is not YAML, or if its presets are not mappings.
    """
    try:
        return preset_names(_read(path))
    except ValueError as error:
        raise ConfigError(f"{path} is not a valid experiment:\n  {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a valid experiment:\n  expected a mapping, got {content!r}")
    return content


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
