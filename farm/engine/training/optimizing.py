"""One optimiser step on gradients that are summed over all workers.

Source: the sum overlaps the backward pass in buckets as in Li et al. 2020, "PyTorch Distributed:
Experiences on Accelerating Data Parallel Training", arXiv 2006.15704, section 3.2.3.
"""

from collections.abc import Callable, Iterable
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from farm.engine.training.stages import EXCHANGE, stage
from farm.engine.world import World
from farm.errors import UserError

BUCKET_BYTES: Final = 8 * 2**20
"""Gradients to send at once. Smaller networks are sent in one piece after the backward pass."""


def optimizer_step(
    optimizer: Optimizer,
    loss: Float[Tensor, ""] | Iterable[Float[Tensor, ""]],
    rate: float,
    world: World,
) -> None:
    """Take one optimiser step at this rate, on gradients summed over all workers.

    loss: of this worker's rows. Several losses, such as those of the parts of a batch that is too
    large for the memory, are computed and differentiated one after the other, and their gradients
    are added. A parameter group with a "rate_factor" gets the rate times this factor. Parameters of
    other optimisers get no gradient. Raises RuntimeError for a parameter that takes no part in the
    loss, and whatever computing a loss raises; the optimiser has then not changed. Raises UserError
    if the memory is too small for the optimiser itself.
    """
    groups = optimizer.param_groups
    parameters = [parameter for group in groups for parameter in group["params"]]
    for group in groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)
    try:
        _compute_gradients(parameters, loss, world)
        _change(optimizer)
    finally:
        optimizer.zero_grad()


def _change(optimizer: Optimizer) -> None:
    """Let the optimiser change its parameters.

    Where it runs out of memory, some have changed and others have not, so the step cannot be
    repeated, as it can with a smaller batch if the gradients did not fit. Raises UserError.
    """
    try:
        optimizer.step()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            "the memory is too small for the optimiser of this network; choose a smaller network, or "
            "a device with more memory"
        ) from error


def _compute_gradients(
    parameters: list[nn.Parameter], loss: Tensor | Iterable[Tensor], world: World
) -> None:
    if isinstance(loss, Tensor) and world.begin_all_reduce and _bytes(parameters) > BUCKET_BYTES:
        _Buckets(parameters, world.begin_all_reduce).fill(loss)
        return
    for part in [loss] if isinstance(loss, Tensor) else loss:
        gradients = torch.autograd.grad(part, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    if world.size > 1:
        _sum_over_workers(parameters, world)


def _sum_over_workers(parameters: list[nn.Parameter], world: World) -> None:
    flat = _flatten(parameters)
    with stage(EXCHANGE):
        world.all_reduce(flat)
    _unflatten(flat, parameters)


class _Buckets:
    """Groups of gradients, each of which is sent to the other workers as soon as it is complete.

    Workers send them in the same order, that of the parameters from last to first, which is about
    the order in which the backward pass completes them.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        begin: Callable[[Tensor], Callable[[], object]],
    ) -> None:
        self._parameters, self._begin = parameters, begin
        self._buckets = list(_divide(parameters))
        self._place = {p: i for i, bucket in enumerate(self._buckets) for p in bucket}
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[Tensor, Callable[[], object]]] = []

    def fill(self, loss: Tensor) -> None:
        """Compute the gradients and sum them over the workers."""
        hooks = [
            p.register_post_accumulate_grad_hook(self._on_gradient)  # type: ignore[no-untyped-call]
            for p in self._parameters
        ]
        try:
            torch.autograd.backward(loss, inputs=self._parameters)
        finally:
            for hook in hooks:
                hook.remove()
        if len(self._sent) < len(self._buckets):
            raise RuntimeError("a parameter of the optimiser takes no part in the loss")
        for bucket, (flat, wait) in zip(self._buckets, self._sent, strict=True):
            with stage(EXCHANGE):
                wait()
            _unflatten(flat, bucket)

    def _on_gradient(self, parameter: Tensor) -> None:
        self._missing[self._place[parameter]] -= 1  # type: ignore[index]
        while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
            flat = _flatten(self._buckets[len(self._sent)])
            self._sent.append((flat, self._begin(flat)))


def _divide(parameters: list[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    """Yield the parameters in buckets of about BUCKET_BYTES, from last to first."""
    bucket: list[nn.Parameter] = []
    for parameter in reversed(parameters):
        bucket.append(parameter)
        if _bytes(bucket) >= BUCKET_BYTES:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def _bytes(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.nbytes for parameter in parameters)


def _flatten(parameters: list[nn.Parameter]) -> Tensor:
    gradients = [parameter.grad for parameter in parameters]
    return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


def _unflatten(flat: Tensor, parameters: list[nn.Parameter]) -> None:
    parts = torch.split(flat, [parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)
