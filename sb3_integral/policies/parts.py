"""Parts of an integral policy that SB3 saves on their own: actors, critics and Q-networks."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.policies import BaseModel

from sb3_integral.nn import IntegralLayer


class IntegralPart(BaseModel):
    """Mixin for SB3's actors, critics and Q-networks, which are saved at full size only."""

    def save(self, path: str) -> None:
        """See SB3.

        Raises:
            ValueError: If the part would come back as another one: it is resized, or it is not stored
                as the part of a plain policy.
        """
        layers = [module for module in self.modules() if isinstance(module, IntegralLayer)]
        if not all(_is_plain(layer) for layer in layers):
            raise ValueError(
                f"a file of the {type(self).__name__} alone would not keep its size, "
                f"expected policy.save(path), or the same part of policy.discretize()"
            )
        super().save(path)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle and copy by SB3's class, as this one is made while the program runs."""
        reduced: Any = super().__reduce_ex__(protocol)
        return (_new_part, (type(self).__mro__[2],), *reduced[2:])


def part_class(plain: type[BaseModel]) -> type[IntegralPart]:
    """Return the integral subclass of an SB3 actor, critic or Q-network."""
    if plain not in _PART_CLASSES:
        namespace = {"__module__": plain.__module__, "__doc__": plain.__doc__}
        _PART_CLASSES[plain] = type(plain.__name__, (IntegralPart, plain), namespace)
    return _PART_CLASSES[plain]


_PART_CLASSES: dict[type[BaseModel], type[IntegralPart]] = {}


def _is_plain(layer: IntegralLayer) -> bool:
    """Return whether a plain layer of the stored parameters computes the same."""
    return layer.discrete_parameters()[0] is layer.weight and "corrections" not in layer._modules


def _new_part(plain: type[BaseModel]) -> BaseModel:
    kind = part_class(plain)
    return kind.__new__(kind)
