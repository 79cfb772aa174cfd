"""Where networks run."""

import pytest
import torch

from rsbench.errors import UsageError
from rsbench.models.device import default_device, describe_device, prepare_device


def test_the_cpu_is_set_to_give_the_same_bits_every_time() -> None:
    assert prepare_device("cpu") == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert describe_device("cpu").startswith("cpu (")


def test_cuda_is_the_default_where_it_is_usable_and_refused_elsewhere() -> None:
    if torch.cuda.is_available():
        assert default_device() == "cuda"
        assert prepare_device("cuda").type == "cuda"
    else:
        assert default_device() == "cpu"
        with pytest.raises(UsageError, match="no CUDA device is usable on this machine: choose cpu"):
            prepare_device("cuda")
