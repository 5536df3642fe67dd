"""What passes between the workers of a group keeps its bits and its layout."""

import pytest
import torch
from torch import Tensor

from farm_cluster.exchange import _bytes_of, _dense

PICTURE = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)


@pytest.mark.parametrize(
    "tensor",
    [
        PICTURE,
        PICTURE.to(memory_format=torch.channels_last),
        PICTURE.permute(3, 1, 0, 2),
        PICTURE[1:],
        torch.tensor(1.5, dtype=torch.float64),
        PICTURE.bfloat16(),
    ],
)
def test_a_tensor_without_gaps_is_sent_as_it_lies_in_memory(tensor: Tensor) -> None:
    sent = _dense(tensor)
    assert sent.data_ptr() == tensor.data_ptr()
    received = torch.empty_strided(sent.shape, sent.stride(), dtype=sent.dtype)
    _bytes_of(received).copy_(_bytes_of(sent))
    assert torch.equal(received, tensor)
    assert received.stride() == tensor.stride()


@pytest.mark.parametrize(
    "tensor", [PICTURE[:, :, 1:3], PICTURE[..., ::2], torch.ones(1).expand(2, 3)]
)
def test_a_tensor_with_gaps_or_repetitions_is_sent_as_a_copy(tensor: Tensor) -> None:
    sent = _dense(tensor)
    assert torch.equal(sent, tensor)
    assert len(_bytes_of(sent)) == tensor.numel() * tensor.element_size()
    assert sent.is_contiguous()
