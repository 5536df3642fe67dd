"""FID, KID and the Inception Score, from features and from a stand-in for Inception's weights."""

from pathlib import Path

import pytest
import torch

from farm.engine.measures import inception
from farm.engine.measures.inception import (
    Features,
    frechet_distance,
    inception_score,
    kernel_distance,
    load_inception,
    splits,
)
from farm.errors import UserError, WeightsMissing


def features(count: int = 200, shift: float = 0.0, seed: int = 1) -> Features:
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(count, 8, generator=generator) + shift
    return Features(pooled, torch.randn(count, 5, generator=generator))


def test_equal_sets_have_no_frechet_distance() -> None:
    assert frechet_distance(features(), features()) == pytest.approx(0, abs=1e-5)


def test_the_frechet_distance_is_the_squared_shift_of_equal_clouds() -> None:
    one = features()
    moved = Features(one.pooled + 0.5, one.logits)
    assert frechet_distance(one, moved) == pytest.approx(8 * 0.5**2, rel=1e-4)


def test_the_kernel_distance_is_unbiased_and_grows_with_the_shift() -> None:
    same, _ = kernel_distance(features(), features(seed=2), 1)
    small, _ = kernel_distance(features(), features(shift=0.5, seed=2), 1)
    large, _ = kernel_distance(features(), features(shift=1.0, seed=2), 1)
    assert abs(same) < 0.05 < small < large


def test_figures_depend_on_the_seed_alone_and_leave_the_global_generator() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = kernel_distance(features(), features(seed=2), 1), inception_score(features(), 1)
    torch.rand(1)
    two = kernel_distance(features(), features(seed=2), 1), inception_score(features(), 1)
    assert one == two
    assert kernel_distance(features(), features(seed=2), 2) != one[0]
    torch.set_rng_state(before)
    inception_score(features(), 1)
    kernel_distance(features(), features(), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_inception_score_is_the_number_of_classes_that_are_sure_and_equally_common() -> None:
    logits = 100 * torch.eye(5).repeat(20, 1)
    assert inception_score(Features(torch.zeros(100, 8), logits), 1) == pytest.approx(5, rel=1e-4)
    alike = torch.zeros(100, 5)
    assert inception_score(Features(torch.zeros(100, 8), alike), 1) == pytest.approx(1, rel=1e-4)


def test_small_sets_are_not_split() -> None:
    assert (splits(1000), splits(5000)) == (1, 10)


def test_two_pictures_are_enough_for_the_kernel_distance() -> None:
    mean, _ = kernel_distance(features(2), features(2, seed=2), 1)
    assert mean == mean  # noqa: PLR0124 - not NaN


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inception's weights as torchvision stores them, but random: good for the wiring only."""
    from torchvision.models import inception_v3

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = inception_v3(weights=None, init_weights=False, aux_logits=True)
    path = tmp_path_factory.mktemp("inception") / "inception_v3.pth"
    torch.save(module.state_dict(), path)
    return path


@pytest.mark.slow
def test_a_file_with_torchvisions_weights_gives_features_and_classes(stand_in: Path) -> None:
    network = load_inception(str(stand_in))
    pictures = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    found = network.features(pictures)
    assert found.pooled.shape == (2, 2048)
    assert found.logits.shape == (2, 1000)
    alone = network.features(pictures[1:])
    torch.testing.assert_close(alone.pooled, found.pooled[1:], rtol=1e-3, atol=1e-4)
    assert len(network.digest) == 64


@pytest.mark.slow
def test_pictures_are_normalised_as_torchvision_does(stand_in: Path) -> None:
    from torchvision.models import inception_v3

    module = inception_v3(weights=None, init_weights=False, transform_input=True)
    module.load_state_dict(torch.load(stand_in, weights_only=True))
    picture = torch.rand(1, 3, 299, 299)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    normal = (picture - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.no_grad():
        expected = module.eval()(normal)
    logits = load_inception(str(stand_in)).features(picture).logits
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"--inception: .*other.pth does not fit inception_v3") as e:
        load_inception(str(path))
    assert str(e.value).endswith("; give the weights of torchvision's inception_v3")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--inception: no such file"):
        load_inception(str(tmp_path / "none.pth"))


def test_weights_that_cannot_be_downloaded_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    closed = "http://127.0.0.1:9/inception_v3_google-0cc3c7bd.pth"
    monkeypatch.setattr(inception, "_url", lambda: closed)
    with pytest.raises(WeightsMissing, match="cannot be downloaded"):
        load_inception(None)
