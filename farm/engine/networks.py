"""Feature extractors: networks cut at named layers, folded, frozen and cached."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from farm.engine import cut, reach
from farm.engine.cache import LoadedFiles, bytes_of
from farm.engine.class_names import everyday_words, find_classes
from farm.engine.device import DTYPES
from farm.engine.stem import use_fast_stems
from farm.engine.tiles import Reach
from farm.engine.weights import find_weights, load_weights, own_weights
from farm.errors import BadParameter, StorageFailed, UnknownName
from farm.model.job import Precision, weights_key
from farm.model.specs import NetworkSpec
from farm.storage import FileDigests, KnownFiles, input_path, is_file

HEAD = "logits"
"""The layer of class scores, one set per position; their mean is the classifier's output."""

EXTRACTORS: Final = 8
"""Cuts of one network to keep; a style transfer uses four."""

_USUAL_SIDE: Final = 512
_ONLY_SIDE: Final = 224
"""The only side of pictures that some networks take."""

_RESHAPING: Final = frozenset({"view", "reshape", "unflatten", torch.reshape, torch.unflatten})

Sides = tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """Channels, rows and columns of a layer's features."""

    channels: int
    rows: int
    columns: int


class Extractor(nn.Module):
    """A frozen network that runs no deeper than the requested layers. Takes RGB in 0..1."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: fx.GraphModule, layers: tuple[str, ...], spec: NetworkSpec) -> None:
        super().__init__()
        self.body, self.layers, self.network = body, layers, spec.name
        for name, value in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64).view(1, 3, 1, 1))
        self.requires_grad_(requires_grad=False).eval()
        self._shapes: dict[tuple[int, int], dict[str, Shape]] = {}

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> dict[str, Tensor]:
        """Return features by layer, each [batch, channels, rows, columns]."""
        x = (image - self.mean.to(image.dtype)) / self.std.to(image.dtype)
        dtype = next(self.body.parameters(), x).dtype
        x = x.to(dtype, memory_format=torch.channels_last)
        features = self.body.forward(x)  # calling body itself would print errors to stderr
        return dict(zip(self.layers, features, strict=True))

    def shapes(self, height: int, width: int) -> Mapping[str, Shape]:
        """Return the layers' shapes for a picture of this size, without computing features.

        Raises BadParameter if the picture is too small for the network.
        """
        if (height, width) not in self._shapes:
            self._shapes[height, width] = self._infer_shapes(height, width)
        return self._shapes[height, width]

    def _infer_shapes(self, height: int, width: int) -> dict[str, Shape]:
        shapes = self._probe(height, width)
        if not self._shapes:
            self._check_channels(height, width, shapes)
        return {layer: Shape(*sides) for layer, sides in shapes.items()}

    def _check_channels(self, height: int, width: int, shapes: Mapping[str, Sides]) -> None:
        """Raise BadParameter for a layer whose first side grows with the picture."""
        try:
            larger = self._probe(2 * height, 2 * width)
        except BadParameter:
            return  # the network accepts a single size only
        for layer, sides in shapes.items():
            if sides[0] != larger[layer][0]:
                raise BadParameter(
                    "layers",
                    f"layer {layer} of {self.network} has its channels last, which is not "
                    "supported; choose another network",
                )

    def _probe(self, height: int, width: int) -> dict[str, Sides]:
        """Return each layer's channels, rows and columns. Raises BadParameter."""
        try:
            features = self._run_without_pictures(height, width)
        except (RuntimeError, AssertionError) as error:
            size = "another size, such as 224x224" if self._reshapes else "a larger picture"
            raise BadParameter(
                "layers",
                f"{self.network} cannot process a picture of {width}x{height} down to layer "
                f"{self.layers[-1]}; choose an earlier layer or {size}",
            ) from error
        for layer, feature in features.items():
            if not isinstance(feature, Tensor) or feature.ndim != 4:
                raise BadParameter(
                    "layers",
                    f"layer {layer} of {self.network} has no spatial features; "
                    "choose another layer",
                )
        return {layer: tuple(feature.shape[1:]) for layer, feature in features.items()}

    @torch.no_grad()
    def _run_without_pictures(self, height: int, width: int) -> dict[str, Tensor]:
        """Return features that have a shape and no values.

        Most networks tell their shapes from a batch of no pictures. Others, which reshape features,
        run on the meta device: any shape would do for no pictures. torch takes a second to import what
        it needs there.
        """
        if not self._reshapes:
            with suppress(RuntimeError, AssertionError):
                features = self(torch.empty(0, 3, height, width, device=self.mean.device))
                if all(isinstance(f, Tensor) and not len(f) for f in features.values()):
                    return features  # type: ignore[no-any-return]
        state = {name: value.to("meta") for name, value in self.state_dict().items()}
        picture = torch.empty(1, 3, height, width, device="meta")
        return torch.func.functional_call(self, state, (picture,))  # type: ignore[no-any-return]

    @cached_property
    def _reshapes(self) -> bool:
        return any(node.target in _RESHAPING for node in self.body.graph.nodes)

    @cached_property
    def channels(self) -> Mapping[str, int]:
        """Each layer's number of channels. Raises BadParameter."""
        with suppress(BadParameter):
            return self._channels(_USUAL_SIDE)
        return self._channels(_ONLY_SIDE)

    def _channels(self, side: int) -> Mapping[str, int]:
        return {layer: shape.channels for layer, shape in self.shapes(side, side).items()}

    def fits(self, height: int, width: int) -> bool:
        """Return whether a picture of this size is large enough for all layers."""
        try:
            return all(s.rows and s.columns for s in self.shapes(height, width).values())
        except BadParameter:
            return False

    @cached_property
    def reach(self) -> Mapping[str, tuple[Reach, Reach]]:
        """Each layer's reach along rows and columns, measured once. Raises BadParameter."""
        with torch.inference_mode():
            with suppress(RuntimeError, TypeError):
                return reach.measure(self._thin)
            try:
                return reach.measure(self._on_cpu())
            except (RuntimeError, AssertionError) as error:
                raise BadParameter(
                    "tile",
                    f"{self.network} does not take pictures of every size down to layer "
                    f"{self.layers[-1]}, so that tiles cannot be exact; use --tile none",
                ) from error

    def _on_cpu(self) -> "Extractor":
        """Return a float32 copy on the CPU; weights on the meta device become zero."""
        probe = copy.deepcopy(self)
        if self.std.is_meta:
            probe.to_empty(device="cpu")
            for value in probe.state_dict().values():
                value.zero_()
            probe.std.fill_(1)
        return probe.to("cpu", torch.float32)

    def _thin(self, image: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.layers, reach.Thin(self.body).run(image), strict=True))


class Network:
    """A network with its weights, which can be cut at any of its layers.

    digest: sha256 of the weights file.
    """

    def __init__(
        self, spec: NetworkSpec, module: nn.Module, digest: str, device: str, precision: Precision
    ) -> None:
        self.name, self.digest, self.spec = spec.name, digest, spec
        self._module = module.eval()
        self._graph = cut.trace(module, spec.name)
        self._device, self._dtype = device, DTYPES[precision]
        self._ends = cut.layer_ends(self._graph)
        self._extractors: dict[tuple[str, ...], Extractor] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers in execution order, then the aliases and the class scores."""
        head = (HEAD,) if self.spec.head else ()
        aliases = (a for a, layer in self.spec.aliases.items() if layer in self._ends)
        return (*self._ends, *aliases, *head)

    @property
    def main_layers(self) -> tuple[str, ...]:
        """The aliases if there are any, otherwise the top-level layers; then the class scores."""
        named = tuple(self.spec.aliases) or tuple(cut.outer_layers(self.layers))
        return (*named, HEAD) if self.spec.head else named

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return self.spec.classes()

    def class_shares(self, name: str) -> dict[int, float]:
        """Return the classes that a name or a word stands for, each with an equal share of 1.

        Raises UnknownName, and BadParameter for a number that no class has.
        """
        found = find_classes(name, self.classes)
        if not found:
            hint = f"`farm networks {self.name} --classes` lists them all"
            if name.isdecimal():
                reason = f"{self.name} has classes 0 to {len(self.classes) - 1}, not {name}; {hint}"
                raise BadParameter("classes", reason)
            raise UnknownName(f"class of {self.name}", name, everyday_words(self.classes), hint)
        return dict.fromkeys(found, 1 / len(found))

    def extractor(self, layers: Sequence[str]) -> Extractor:
        """Return the network cut at these layers. Raises UnknownName."""
        key = tuple(layers)
        if key not in self._extractors:
            for layer in key:
                if layer not in self.layers:
                    raise UnknownName(f"layer of {self.name}", layer, self.main_layers)
            self._extractors[key] = self._cut(key)
        self._extractors[key] = self._extractors.pop(key)  # the latest comes last
        while len(self._extractors) > EXTRACTORS:
            del self._extractors[next(iter(self._extractors))]
        return self._extractors[key]

    @property
    def bytes_used(self) -> int:
        """Bytes of its weights, and of those of its cuts that are not the same."""
        return bytes_of(self._module, *self._extractors.values())

    def _cut(self, layers: tuple[str, ...]) -> Extractor:
        base, head = self.spec.head or (HEAD, None)
        aliases = {**self.spec.aliases, HEAD: base}
        nodes = [self._ends[aliases.get(layer, layer)] for layer in layers]
        heads = [head(self._module) if head and layer == HEAD else None for layer in layers]
        body = cut.cut(self._module, self._graph, nodes, heads).to(self._dtype)
        if self._device == "cpu":
            use_fast_stems(body)
        body = body.to(memory_format=torch.channels_last)
        return Extractor(body, layers, self.spec).to(self._device)


class NetworkCache:
    """The networks that a worker has loaded, by the content of their weights.

    find: returns a spec by name. loaded: where they stay loaded, together with other files.
    """

    def __init__(
        self,
        find: Callable[[str], NetworkSpec],
        device: str,
        loaded: LoadedFiles | None = None,
    ) -> None:
        self._find, self._device = find, device
        self._digests = FileDigests()
        self.loaded = LoadedFiles() if loaded is None else loaded

    def get(
        self,
        name: str,
        weights: str | None,
        precision: Precision,
        files: KnownFiles | None = None,
    ) -> Network:
        """Return a network, loading it on first use.

        files: of the job; weights that have changed since it was submitted are refused. Raises
        UnknownName, WeightsMissing, BadParameter or InputChanged.
        """
        spec = self._spec(name, weights)
        digest = _weights_digest(spec, weights, files or KnownFiles(digests=self._digests))

        def load() -> Network:
            module, found = load_weights(spec, weights)
            if found != digest:
                raise StorageFailed(weights or name, "its weights changed while they were read")
            return Network(spec, module, digest, self._device, precision)

        key = ("network", name, digest, precision)
        return self.loaded.get(key, load, lambda network: network.bytes_used)

    def module(self, name: str, weights: str | None, files: KnownFiles) -> nn.Module:
        """Return a network's module to train, as load_weights does. It does not stay loaded.

        Raises what get raises.
        """
        spec = self._spec(name, weights)
        digest = _weights_digest(spec, weights, files)
        module, found = load_weights(spec, weights, to_train=True)
        if found != digest:
            raise StorageFailed(weights or name, "its weights changed while they were read")
        return module

    def _spec(self, name: str, weights: str | None) -> NetworkSpec:
        spec = self._find(name)
        return spec.for_weights(input_path(weights)) if weights and spec.for_weights else spec


def _weights_digest(spec: NetworkSpec, weights: str | None, files: KnownFiles) -> str:
    """Return the sha256 of the weights, once it is known to be that of the job."""
    if weights:
        return files.digest(weights) if is_file(weights) else ""
    digest = files.digest(str(find_weights(spec) or own_weights(spec)))
    files.check(weights_key(spec.name), digest)
    return digest
