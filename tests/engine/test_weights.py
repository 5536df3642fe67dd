"""Weights are found, checked and loaded; every problem is reported in one line."""

import hashlib
import io
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from farm.engine import weights
from farm.engine.weights import find_weights, load_weights
from farm.errors import BadParameter, WeightsMissing
from farm.model.specs import NetworkSpec, Weights
from farm_networks.torchvision_models import torchvision_spec


def build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))


def spec_of(**source: object) -> NetworkSpec:
    return NetworkSpec("small", build, Weights(**source))  # type: ignore[arg-type]


def saved(state: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {k: v.clone().contiguous() for k, v in build().state_dict().items()}


@pytest.fixture(autouse=True)
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty torch cache; return its folder of weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def assert_loads(path: Path, state: Mapping[str, Tensor]) -> None:
    module, digest = load_weights(spec_of(), str(path))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = module.state_dict()
    for name, value in state.items():
        torch.testing.assert_close(loaded[name], value, msg=name)


# Files of the user


def test_every_format_loads_the_same_weights(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    torch.save({"state_dict": state, "epoch": 3, "best": 0.5}, tmp_path / "c.pth")
    torch.save(state, tmp_path / "d.pt", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.pth", "c.pth", "d.pt"):
        assert_loads(tmp_path / name, state)


def test_half_precision_is_converted_to_single(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file({k: v.half() for k, v in state.items()}, tmp_path / "half.safetensors")
    module, _ = load_weights(spec_of(), str(tmp_path / "half.safetensors"))
    weight = module.state_dict()["0.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["0.weight"].half().float())


def test_torchvisions_auxiliary_heads_are_ignored(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state | {"aux1.conv.weight": torch.ones(1)}, tmp_path / "aux.pth")
    assert_loads(tmp_path / "aux.pth", state)


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.witness,)


def test_a_pickle_with_code_is_refused_and_the_code_does_not_run(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    witness, path = tmp_path / "ran", tmp_path / "evil.pth"
    hidden = state | {"0.bias": Malicious(witness)}
    for content in (saved(hidden), pickle.dumps(hidden), pickle.dumps(hidden, protocol=2)):
        path.write_bytes(content)
        with pytest.raises(
            BadParameter, match=r"evil\.pth is not a plain state dict: .*run code; use a"
        ):
            load_weights(spec_of(), str(path))
        assert not witness.exists()
    pickle.loads(pickle.dumps(Malicious(witness)))  # noqa: S301 - shows that the code would run
    assert witness.exists()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["pth", "old.pth", "safetensors"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=st.floats(0, 1, exclude_max=True), byte=st.none() | st.integers(0, 255))
def test_a_damaged_file_is_refused_in_one_line(
    tmp_path: Path, suffix: str, where: float, byte: int | None
) -> None:
    path = tmp_path / f"damaged.{suffix}"
    values = {"0.weight": torch.ones(2)}
    if suffix == "safetensors":
        save_file(values, path)
    else:
        torch.save(values, path, _use_new_zipfile_serialization=suffix == "pth")
    content = path.read_bytes()
    at = int(where * len(content))
    cut = content[:at] if byte is None else content[:at] + bytes([byte]) + content[at + 1 :]
    path.write_bytes(cut)
    with pytest.raises(BadParameter, match=r"^weights: \S*damaged\S* [^\n]*$"):
        load_weights(spec_of(), str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"0.weight": None},
            "does not fit small: it is missing 0.weight; choose the network it belongs to with",
        ),
        ({"0.weight": None, "1.bias": None}, "it is missing 0.weight and 1 more;"),
        ({"2.weight": torch.ones(1)}, "it also has 2.weight;"),
        ({"0.weight": torch.ones(2, 3, 5, 5)}, "it has a different shape for 0.weight;"),
    ],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, state: dict[str, Tensor], change: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in (state | change).items() if v is not None}
    torch.save(changed, tmp_path / "other.pth")
    with pytest.raises(BadParameter, match=rf"other\.pth .*{message}"):
        load_weights(spec_of(), str(tmp_path / "other.pth"))


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": 5}, {3: torch.ones(1)}, None])
def test_a_file_without_named_tensors_does_not_fit(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(BadParameter, match=r"it is missing 0\.weight"):
        load_weights(spec_of(), str(tmp_path / "odd.pth"))


def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"no such file: .*gone\.pth; give a \.safetensors"):
        load_weights(spec_of(), str(tmp_path / "gone.pth"))
    with pytest.raises(BadParameter, match="is a folder; give a"):
        load_weights(spec_of(), str(tmp_path))


# Packaged weights


def test_a_network_without_weights_suggests_the_weights_option() -> None:
    assert find_weights(spec_of()) is None
    with pytest.raises(WeightsMissing, match=r"'small' has no weights here: .*--weights FILE"):
        load_weights(spec_of(), None)


def test_packaged_weights_must_match_their_digest(tmp_path: Path, state: dict[str, Tensor]) -> None:
    file = tmp_path / "packaged.safetensors"
    save_file(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert load_weights(spec_of(file=file, sha256=digest), None)[1] == digest
    with pytest.raises(
        WeightsMissing, match=r"is damaged \(its sha256 does not match\); reinstall it"
    ):
        load_weights(spec_of(file=file, sha256="0" * 64), None)


def test_missing_packaged_weights_are_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"gone\.safetensors does not exist"):
        load_weights(spec_of(file=tmp_path / "gone.safetensors"), None)


@pytest.mark.slow
def test_weights_are_found_in_torchvisions_cache(torch_home: Path) -> None:
    spec = torchvision_spec("squeezenet1_0")
    assert find_weights(spec) is None
    torch_home.mkdir(parents=True)
    path = torch_home / "squeezenet1_0-b66bff10.pth"
    torch.save(spec.build().state_dict(), path)
    assert find_weights(spec) == path
    assert load_weights(spec, None)[1] == hashlib.sha256(path.read_bytes()).hexdigest()


# Downloads


@dataclass
class Server:
    """A local server of the given files."""

    url: str
    files: dict[str, bytes]


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        files: ClassVar[dict[str, bytes]] = {}

        def do_GET(self) -> None:
            content = self.files.get(self.path.partition("?")[0])
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Server(f"http://127.0.0.1:{http.server_port}", Handler.files)
        http.shutdown()
        thread.join()


def served(server: Server, content: bytes, digest: str) -> NetworkSpec:
    server.files[f"/small-{digest}.pth"] = content
    return spec_of(url=lambda: f"{server.url}/small-{digest}.pth?from=here")


def test_weights_are_downloaded_once(
    torch_home: Path, server: Server, state: dict[str, Tensor]
) -> None:
    content = saved(state)
    digest = hashlib.sha256(content).hexdigest()
    spec = served(server, content, digest[:8])
    assert load_weights(spec, None)[1] == digest
    assert [path.name for path in torch_home.iterdir()] == [f"small-{digest[:8]}.pth"]
    server.files.clear()
    assert load_weights(spec, None)[1] == digest


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_a_download_with_a_wrong_digest_is_refused_and_removed(
    torch_home: Path, server: Server, state: dict[str, Tensor], keep: float
) -> None:
    content = saved(state)
    right = hashlib.sha256(content).hexdigest()[:8]
    spec = served(server, content[: int(keep * len(content))], "0badc0de" if keep == 1 else right)
    with pytest.raises(WeightsMissing, match=r"cannot be downloaded \(invalid hash value[^\n]*$"):
        load_weights(spec, None)
    assert list(torch_home.iterdir()) == []


def test_weights_without_a_digest_are_not_downloaded(torch_home: Path, server: Server) -> None:
    spec = spec_of(url=lambda: f"{server.url}/small.pth")
    with pytest.raises(
        WeightsMissing, match=r"small\.pth cannot be verified: its name contains no digest"
    ):
        load_weights(spec, None)
    assert not torch_home.exists()


def test_the_specs_digest_is_used_if_the_name_has_none(
    server: Server, state: dict[str, Tensor]
) -> None:
    server.files["/small.pth"] = content = saved(state)
    digest = hashlib.sha256(content).hexdigest()
    spec = spec_of(url=lambda: f"{server.url}/small.pth", sha256=digest)
    assert load_weights(spec, None)[1] == digest


def test_a_file_missing_on_the_server_is_reported(torch_home: Path, server: Server) -> None:
    spec = spec_of(url=lambda: f"{server.url}/gone-01234567.pth")
    with pytest.raises(WeightsMissing, match=r"cannot be downloaded \(HTTP Error 404: Not Found\)"):
        load_weights(spec, None)
    assert list(torch_home.iterdir()) == []


@pytest.mark.timeout(30)
def test_a_refused_connection_fails_at_once(torch_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    spec = spec_of(url=lambda: f"http://127.0.0.1:{port}/small-01234567.pth")
    with pytest.raises(WeightsMissing, match=r"cannot be downloaded \([^\n]*refused[^\n]*$"):
        load_weights(spec, None)
    assert list(torch_home.iterdir()) == []


@pytest.mark.timeout(30)
def test_a_server_that_does_not_respond_times_out(
    torch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        spec = spec_of(url=lambda: f"http://127.0.0.1:{port}/small-01234567.pth")
        with pytest.raises(WeightsMissing, match=r"cannot be downloaded \([^\n]*timed out"):
            load_weights(spec, None)
    assert list(torch_home.iterdir()) == []
    assert socket.getdefaulttimeout() is None


INTERRUPTED = """
import sys
from pathlib import Path
from threading import Thread

from farm import NetworkSpec, Weights
from farm.engine.weights import load_weights

url, folder = sys.argv[1], Path(sys.argv[2])
spec = NetworkSpec("small", build=lambda: None, weights=Weights(url=lambda: url))
Thread(target=load_weights, args=(spec, None), daemon=True).start()
while not any(folder.rglob("*.partial")):
    pass
"""


@pytest.mark.slow
def test_a_download_leaves_nothing_behind_when_the_process_ends(torch_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/small-01234567.pth"
        subprocess.run([sys.executable, "-c", INTERRUPTED, url, str(torch_home)], check=True)
    assert list(torch_home.iterdir()) == []


def test_a_file_of_the_user_is_used_without_a_download(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    def download() -> str:
        raise AssertionError

    torch.save(state, tmp_path / "given.pth")
    load_weights(spec_of(url=download), str(tmp_path / "given.pth"))


def test_a_download_without_a_connection_says_where_to_put_the_file(torch_home: Path) -> None:
    url = "http://nowhere.invalid/small-01234567.pth"
    with pytest.raises(WeightsMissing) as missing:
        load_weights(spec_of(url=lambda: url), None)
    assert "urlopen" not in str(missing.value)
    assert f"download it to {torch_home / 'small-01234567.pth'} by other means" in str(
        missing.value
    )
