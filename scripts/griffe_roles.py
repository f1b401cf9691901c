"""Docstrings name others by Sphinx's roles, :class:`~sb3_integral.nn.Axis`; make links of them."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|data|mod|attr):`(~?)([\w.]+)`")


class SphinxRoles(griffe.Extension):
    """Replace roles by references that may stay without a target."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is None:
            return

        def reference(match: re.Match[str]) -> str:
            is_short, name = match[1], match[2]
            shown = name.rpartition(".")[2] if is_short else name
            identifier = name if name.startswith("sb3_integral") else f"{_owner(obj)}.{name}"
            return f'<autoref optional identifier="{identifier}">`{shown}`</autoref>'

        obj.docstring.value = ROLE.sub(reference, obj.docstring.value)


def _owner(obj: griffe.Object) -> str:
    """Return the package whose page shows the object."""
    return ".".join(obj.path.split(".")[:2])
