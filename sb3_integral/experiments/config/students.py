"""What a configuration may say of a student: what it is made of, and how it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, model_validator

from sb3_integral.experiments.config.conditions import WeightFormatConfig
from sb3_integral.experiments.config.names import (
    ACTIVATIONS,
    KERNELS,
    LOSSES,
    QUADRATURES,
    RESIZE_METHODS,
)
from sb3_integral.experiments.config.values import Count, Name, Section, one_of

if TYPE_CHECKING:
    from sb3_integral.imitation import SizeDistribution, StudentArchitecture, TrainingSizes
    from sb3_integral.nn import SmoothnessPenalty

INITIALISATION = "initialisation"
"""What a student starts from that has the weights of an untrained plain network, permuted."""

SMALLEST_RANDOM_SIZE = 5
"""The smallest size that is drawn in training, unless the configuration says otherwise."""


class RandomSizesConfig(Section):
    """Which sizes an integral student is trained at.

    Attributes:
        distribution: ``uniform``, ``log-uniform``, ``power-law`` with the two settings below, or
            ``given``.
        sizes: The sizes of ``given``, each of which is drawn equally often.
        low: The smallest size of the others; :data:`SMALLEST_RANDOM_SIZE` by default.
        high: The largest size of the others; the student's full size by default.
        exponent: How fast the density of a power law falls.
        largest: The probability of the largest size under a power law.
        small: How many small sizes every step has in addition to the one that is drawn.
        sandwich: Whether every step has the largest, the smallest and two random sizes instead, as
            universally slimmable networks are trained.
        distill: Whether the others learn from the largest then, as those are, or from the expert.
    """

    distribution: Literal["uniform", "log-uniform", "power-law", "given"] = "power-law"
    sizes: tuple[Count, ...] | None = None
    low: Count | None = None
    high: Count | None = None
    exponent: Annotated[float, Field(gt=1.0)] = 1.5
    largest: Annotated[float, Field(ge=0.0, le=1.0)] = 0.15
    small: NonNegativeInt = 6
    sandwich: bool = False
    distill: bool = True

    @model_validator(mode="after")
    def _check(self) -> RandomSizesConfig:
        if (self.sizes is not None) != (self.distribution == "given"):
            raise ValueError("`sizes` belong to `distribution: given`, expected both")
        if self.sizes is not None and len({*self.sizes}) != max(1, len(self.sizes)):
            raise ValueError(f"sizes must name sizes that differ, got {list(self.sizes)}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not be above high ({self.high}), got {self.low}")
        return self

    def of_student(self, full: int) -> RandomSizesConfig:
        """Return the settings with what follows from the student's full size filled in.

        Raises:
            ValueError: If a size is larger.
        """
        largest = max(self.sizes) if self.sizes is not None else self.high or full
        if largest > full or (self.low or 0) > full:
            raise ValueError(
                f"random_sizes must not be above the full size {full}, got {max(largest, self.low or 0)}"
            )
        if self.sizes is not None:
            return self
        low = min(SMALLEST_RANDOM_SIZE, largest) if self.low is None else self.low
        return self.model_copy(update={"low": low, "high": largest})

    def build(self) -> SizeDistribution:
        """Return the distribution itself."""
        from sb3_integral.imitation import GivenSizes, LogUniformSizes, PowerLawSizes, UniformSizes

        if self.sizes is not None:
            return GivenSizes(self.sizes)
        assert self.low is not None
        assert self.high is not None
        if self.distribution == "power-law":
            return PowerLawSizes(self.low, self.high, self.exponent, self.largest)
        kind = UniformSizes if self.distribution == "uniform" else LogUniformSizes
        return kind(self.low, self.high)

    def training_sizes(self) -> TrainingSizes:
        """Return at which sizes the student is trained."""
        from sb3_integral.imitation import RandomSizes, Sandwich

        if self.sandwich:
            return Sandwich(self.build(), distill=self.distill)
        return RandomSizes(self.build(), self.small)


class SmoothnessConfig(Section):
    """See :class:`~sb3_integral.nn.SmoothnessPenalty`."""

    total_variation: Annotated[float, Field(ge=0.0)] = 0.0
    spectral: Annotated[float, Field(ge=0.0)] = 0.0

    def build(self) -> SmoothnessPenalty:
        """Return the penalty itself."""
        from sb3_integral.nn import SmoothnessPenalty

        return SmoothnessPenalty(self.total_variation, self.spectral)


class StudentConfig(Section):
    """A student and how it is trained and resized.

    Attributes:
        kind: ``integral``, ``plain``, or ``scratch``: a plain network trained at each size, the limit of
            what that size can hold.
        label: What tables and plots call it.
        hidden_sizes: Full size of each hidden layer.
        activation: The activation of the hidden layers. SB3's default is tanh; the paper has ReLU.
        standardize: Whether observations are standardised.
        grid_size: λ nodes per hidden layer of an integral student.
        kernel: The kernel of an integral student.
        quadrature: The quadrature of an integral student.
        nested: Whether the partitions of an integral student nest. The paper's do not.
        scale_levels: How far down λ a student with nested partitions has corrections that depend on the
            scale: one number, or one for each layer (``[0, 0, 9]`` corrects the output alone); null for
            the default.
        random_sizes: The sizes at which an integral student is trained; null for the full size only.
        smoothness: Penalties on how fast the weights of an integral student vary along an axis.
        start: What an integral student begins with: the trained and permuted weights of the plain
            student of that name, or with ``initialisation``, which no student can be called, those of
            an untrained plain network, permuted, as the paper's INN does.
        weights: How the weights are rounded in training, for a student that is to be quantised; null for
            not at all.
        cloning: Settings that differ from the experiment's :class:`CloningSection` for this student.
        epochs_share: The share of the passes over the demonstrations that this student makes, so that
            several networks can have the budget of one.
        resize: The methods by which a plain student is resized; ``all`` stands for every known one.
    """

    kind: Literal["integral", "plain", "scratch"]
    label: Annotated[str, Field(pattern=r"\S")]
    hidden_sizes: tuple[Count, ...] = (100, 100)
    activation: Annotated[str, one_of(ACTIVATIONS, "activation")] = "tanh"
    standardize: bool = True
    grid_size: Count | None = None
    kernel: Annotated[str, one_of(KERNELS, "kernel")] = "cubic"
    quadrature: Annotated[str, one_of(QUADRATURES, "quadrature")] = "trapezoidal"
    nested: bool = True
    scale_levels: NonNegativeInt | tuple[NonNegativeInt, ...] | None = None
    random_sizes: RandomSizesConfig | None = None
    smoothness: SmoothnessConfig | None = None
    start: Name | None = None
    weights: WeightFormatConfig | None = None
    cloning: dict[str, Any] = Field(default_factory=dict)
    epochs_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    resize: Annotated[
        tuple[Annotated[str, one_of(RESIZE_METHODS, "resize method")], ...],
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
        if self.random_sizes is not None:
            filled_in = self.random_sizes.of_student(max(self.hidden_sizes))
            object.__setattr__(self, "random_sizes", filled_in)
        return self

    def columns(self, name: str) -> list[tuple[str, str, str | None]]:
        """Return the columns of the table that the student fills.

        Args:
            name: The student's name in the configuration.

        Returns:
            Name, label and resize method of each; the method is None for a student at its own sizes.
        """
        if self.kind != "plain":
            return [(name, self.label, None)]
        return [
            (f"{name}_{method.replace('-', '_')}", f"{self.label}, {method.replace('-', ' ')}", method)
            for method in self.resize
        ]

    def architecture(self, size: int | None = None) -> StudentArchitecture:
        """Return what the student is made of.

        Args:
            size: Of each hidden layer, in place of the full sizes.
        """
        from sb3_integral.imitation import StudentArchitecture

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


class CloningSection(Section):
    """Settings of behavioural cloning; for None, :class:`~sb3_integral.imitation.CloningConfig` has it.

    Attributes:
        epochs: Passes over the demonstrations.
        batch_size: Transitions in a step.
        learning_rate: The learning rate of Adam.
        schedule: ``cosine`` to zero, or ``constant``.
        loss: ``clipped``, which sees actions as the environment does, ``paper``, or ``distribution``:
            how far the student's action distribution is from the expert's own.
    """

    epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: PositiveFloat | None = None
    schedule: Literal["constant", "cosine"] | None = None
    loss: Annotated[str, one_of(LOSSES, "loss")] | None = None

    def filled_in(self) -> dict[str, Any]:
        """Return all settings by their names here."""
        from sb3_integral.imitation import CloningConfig

        default = CloningConfig()
        defaults = {**vars(default), "epochs": default.n_epochs}
        return {name: defaults[name] if value is None else value for name, value in self}
