"""Cut a network's graph at given layers, so that nothing deeper runs, and fold batch norm."""

import copy
from collections.abc import Callable, Iterable, Sequence
from threading import Lock, get_ident
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.experimental.optimization import fuse

from farm.errors import PluginError

_NOT_FEATURES = (
    *("avgpool", "dropout", "flatten"),
    *("fc", "linear", "classifier", "head", "logits"),
)


_TRACING: Final = Lock()
"""Held while a module is traced, since each tracing restores what it found."""


class _OwnThread(fx.Tracer):
    """Records what its own thread does.

    torch.fx changes how every module of the process is called while it traces one. Those that other
    threads call meanwhile run as always.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = get_ident()

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def trace(module: nn.Module, network: str) -> fx.Graph:
    """Return the module's graph, without in-place operations.

    Raises PluginError if torch.fx cannot trace the module.
    """
    try:
        with _TRACING:
            graph = _OwnThread().trace(module)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise PluginError(network, f"torch.fx cannot trace the network: {reason}") from error
    _remove_in_place(graph, module)
    return graph


def _remove_in_place(graph: fx.Graph, module: nn.Module) -> None:
    """Replace in-place operations; later readers of the old value read the new one.

    A layer's features then stay intact whatever follows it. torch.fx itself turns ``x += y``
    into ``x = x + y``.
    """
    seen: set[fx.Node] = set()
    for node in graph.nodes:
        seen.add(node)
        if node.op == "call_module":
            was_in_place = getattr(module.get_submodule(str(node.target)), "inplace", False)
        else:
            was_in_place = _make_out_of_place(node)
        if was_in_place:
            (old, *_) = node.all_input_nodes
            for reader in tuple(old.users):
                if reader not in seen:
                    reader.replace_input_with(old, node)


def _make_out_of_place(node: fx.Node) -> bool:
    """Make an operation out of place; return whether it was in place."""
    name = getattr(node.target, "__name__", str(node.target))
    if name.endswith("_") and getattr(torch, name, None) is node.target:
        node.target = getattr(torch, name[:-1])
    elif node.op == "call_method" and name.endswith("_") and not name.endswith("__"):
        node.target = name[:-1]
    elif node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
    else:
        return False
    return True


def layer_ends(graph: fx.Graph) -> dict[str, fx.Node]:
    """Return the last node of each layer (module), in execution order."""
    ends: dict[str, fx.Node] = {}
    for node in graph.nodes:
        paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
        if node.op == "call_module":
            paths.append(str(node.target))
        for path in paths:
            ends.pop(path, None)
            ends[path] = node
    return ends


def outer_layers(layers: Iterable[str]) -> tuple[str, ...]:
    """Return the top-level layers; those of `features` and `classifier` count as top-level."""
    names = [name for name in layers if "." in name or name not in ("features", "classifier")]
    outer = [n for n in names if n.partition(".")[0] not in names or "." not in n]
    return tuple(n for n in outer if n.count(".") <= 1 and not n.startswith(_NOT_FEATURES))


def cut(
    module: nn.Module,
    graph: fx.Graph,
    ends: Sequence[fx.Node],
    heads: Sequence[nn.Module | None],
) -> fx.GraphModule:
    """Return a module that computes the features at ends, each passed through its head if any."""
    copies: dict[fx.Node, fx.Node] = {}
    trimmed = fx.Graph()
    trimmed.graph_copy(graph, copies)
    root = fx.GraphModule(module, trimmed)
    outputs = []
    for number, (end, head) in enumerate(zip(ends, heads, strict=True)):
        node = copies[end]
        if head is not None:
            root.add_module(f"head{number}", head)
            with trimmed.inserting_after(node):
                node = trimmed.call_module(f"head{number}", (node,))
        outputs.append(node)
    trimmed.output(tuple(outputs))
    for node in reversed(trimmed.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            trimmed.erase_node(node)
    root.delete_all_unused_submodules()
    return _fold(copy.deepcopy(root))


def _fold(root: fx.GraphModule) -> fx.GraphModule:
    """Fold batch norms into convolutions, in double precision, and make layers out of place."""
    for child in root.modules():
        if getattr(child, "inplace", False):
            child.inplace = False  # type: ignore[assignment]
    _unshare(root)
    root.recompile()
    folded = fuse(root.to(torch.float64), inplace=True, no_trace=True)
    assert isinstance(folded, fx.GraphModule)
    _make_relu_in_place(folded)
    folded.delete_all_unused_submodules()
    return folded


def _unshare(root: fx.GraphModule) -> None:
    """Give each call its own copy of a layer, since folding changes a layer for all its calls."""
    seen = set()
    for node in root.graph.nodes:
        if node.op == "call_module" and node.target in seen:
            duplicate = copy.deepcopy(root.get_submodule(str(node.target)))
            node.target = f"{node.target}_{node.name}"
            root.add_submodule(node.target, duplicate)
        seen.add(node.target)


def _make_relu_in_place(root: fx.GraphModule) -> None:
    """Save memory: let ReLU overwrite a convolution's output if nothing else reads it."""
    modules = dict(root.named_modules())
    for node in root.graph.nodes:
        if node.target is not F.relu and type(modules.get(str(node.target))) is not nn.ReLU:
            continue
        (source,) = node.all_input_nodes
        if type(modules.get(str(source.target))) is nn.Conv2d and len(source.users) == 1:
            node.op, node.target = "call_function", F.relu
            node.args, node.kwargs = (source,), {"inplace": True}
    root.recompile()
