"""What a configuration may say of the conditions under which networks are tested again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sb3_integral.experiments.config.values import Count, Section

Factor = Annotated[float, Field(ge=0.0)]
Probability = Annotated[float, Field(gt=0.0, lt=1.0)]


class PerturbationConfig(Section):
    """One perturbation and its strength; see :mod:`sb3_integral.evaluation.perturbations`."""

    observation_noise: Annotated[float, Field(gt=0.0)] | None = None
    observation_dropout: Probability | None = None
    observation_delay: Count | None = None
    sticky_actions: Probability | None = None
    gravity: Factor | None = None
    mass: Annotated[float, Field(gt=0.0)] | None = None
    friction: Factor | None = None

    @model_validator(mode="after")
    def _check_one(self) -> PerturbationConfig:
        if len(self.condition()) != 1:
            raise ValueError(f"expected one perturbation with its strength, got {self.condition()}")
        return self

    @property
    def name(self) -> str:
        """Its name in files, such as ``gravity-1.5``."""
        ((kind, value),) = self.condition().items()
        return f"{kind}-{value:g}"

    def condition(self) -> dict[str, Any]:
        """Return it as a mapping from its name to its strength."""
        return self.model_dump(mode="json", exclude_none=True)


class WeightFormatConfig(Section):
    """Weights as whole numbers; see :class:`~sb3_integral.policies.weight_format.WeightFormat`."""

    bits: Annotated[int, Field(strict=True, ge=2, le=16)]
    per: Literal["tensor", "row"] = "row"

    @property
    def name(self) -> str:
        """Its name in files, such as ``int8-row``."""
        return f"int{self.bits}-{self.per}"

    def condition(self) -> dict[str, Any]:
        """Return it as a mapping."""
        return self.model_dump(mode="json")


Condition = PerturbationConfig | WeightFormatConfig
