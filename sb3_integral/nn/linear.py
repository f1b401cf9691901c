"""The integral linear layer (Eq. 1-3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.quadratures import Trapezoidal


class IntegralLinear(nn.Linear):
    """A linear layer between two dimensions, each of them discrete or an axis.

    On an axis the weight is a function, sampled at the axis' size: the output dimension by the kernel
    (Eq. 2), the input dimension by the kernel and the quadrature (Eq. 3). The bias is a function on
    the output axis.

    The parameter ``weight`` holds λ times the quadrature weight of its own node along the input
    axis. At equal grid and size it therefore *is* the weight of the discrete layer: the layer costs
    what ``nn.Linear`` costs, is initialised by whatever initialises ``nn.Linear``, trains at the
    same learning rate, and takes over a trained ``nn.Linear`` exactly. λ itself is :attr:`lam`.

    Args:
        in_features: A number of features, or the axis that is integrated over.
        out_features: A number of features, or the axis along which the output is sampled.
        bias: Whether to add a bias.
        device: Where the parameters are made.
        dtype: Type of the parameters.

    Shape:
        Input (..., in), output (..., out), with an axis' size in force for either.
    """

    def __init__(
        self,
        in_features: int | Axis,
        out_features: int | Axis,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_features.grid_size if isinstance(in_features, Axis) else in_features,
            out_features.grid_size if isinstance(out_features, Axis) else out_features,
            bias=bias,
            device=device,
            dtype=dtype,
        )
        # In a tuple, so that they are not registered here: an axis belongs to the network.
        self._axes = (
            in_features if isinstance(in_features, Axis) else None,
            out_features if isinstance(out_features, Axis) else None,
        )

    @classmethod
    def adopt(
        cls, linear: nn.Linear, in_axis: Axis | None = None, out_axis: Axis | None = None
    ) -> IntegralLinear:
        """String a discrete layer on axes, sharing its parameters.

        Args:
            linear: The layer whose parameters become nodal values.
            in_axis: Axis of its input, if that is to be continuous.
            out_axis: Axis of its output, if that is to be continuous.

        Returns:
            A layer with the same parameter objects; at equal grid and size it computes the same.

        Raises:
            ValueError: If an axis' grid does not have as many nodes as the layer has features.
        """
        for axis, features, side in (
            (in_axis, linear.in_features, "input"),
            (out_axis, linear.out_features, "output"),
        ):
            if axis is not None and axis.grid_size != features:
                raise ValueError(
                    f"the {side} axis has a grid of {axis.grid_size} nodes, expected {features}, "
                    f"one for each {side} feature of the layer"
                )
        layer = cls(
            linear.in_features if in_axis is None else in_axis,
            linear.out_features if out_axis is None else out_axis,
            bias=linear.bias is not None,
            device="meta",
        )
        layer.weight = linear.weight
        layer.bias = linear.bias
        return layer

    @property
    def in_axis(self) -> Axis | None:
        """The axis that is integrated over; None where the input is discrete."""
        return self._axes[0]

    @property
    def out_axis(self) -> Axis | None:
        """The axis along which the output is sampled; None where the output is discrete."""
        return self._axes[1]

    @property
    def lam(self) -> Tensor:
        """The coefficients λ of Eq. 2. Shape: (grid or out, grid or in)."""
        if self.in_axis is None:
            return self.weight
        rule = Trapezoidal()
        weights = rule.weights(rule.points(self.in_axis.grid_size))
        return self.weight / torch.as_tensor(weights, dtype=self.weight.dtype, device=self.weight.device)

    def discrete_parameters(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias at the sizes in force, differentiable. Shapes: (out, in), (out,)."""
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        in_axis, out_axis = self._axes
        if out_axis is not None:
            sampling = out_axis.matrices(weight).sampling
            if sampling is not None:
                weight = sampling @ weight
                bias = None if bias is None else torch.mv(sampling, bias)
        if in_axis is not None:
            integration = in_axis.matrices(weight).integration
            if integration is not None:
                weight = weight @ integration
        return weight, bias

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer at the sizes in force."""
        weight, bias = self.discrete_parameters()
        return F.linear(input, weight, bias)

    def discretize(self) -> nn.Linear:
        """Return an ordinary layer of the sizes in force, with parameters of its own."""
        with torch.no_grad():
            weight, bias = self.discrete_parameters()
            layer = nn.Linear(
                weight.shape[1],
                weight.shape[0],
                bias=bias is not None,
                device="meta",
            )
            layer.weight = nn.Parameter(weight.clone())
            if bias is not None:
                layer.bias = nn.Parameter(bias.clone())
        return layer

    def extra_repr(self) -> str:
        """See :meth:`torch.nn.Module.extra_repr`."""
        ends = [
            str(features) if axis is None else repr(axis)
            for features, axis in zip((self.in_features, self.out_features), self._axes, strict=True)
        ]
        return f"in={ends[0]}, out={ends[1]}, bias={self.bias is not None}"
