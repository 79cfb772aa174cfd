"""Wide residual networks (Zagoruyko & Komodakis 2016). Shapes: B batch, C channels, H height, W width, K classes."""

from torch import Tensor, nn

# Channels of the first convolution, and of the three groups before they are widened (table 1 of the paper).
_STEM = 16
_GROUPS = (16, 32, 64)
# Convolutions outside the blocks: the first one, and those of the three shortcuts.
_LAYERS_OUTSIDE = 4


class WideResNet(nn.Module):
    """WRN-depth-width: three groups of pre-activation blocks B(3,3) without dropout, for images of any size.

    Parameters have the names of the common PyTorch implementations, so their state dicts can be loaded.
    """

    def __init__(self, depth: int, width: int, classes: int, channels: int) -> None:
        """Build the untrained network. Raises ValueError unless `depth` is 6·N + 4."""
        super().__init__()
        blocks, rest = divmod(depth - _LAYERS_OUTSIDE, 2 * len(_GROUPS))
        if blocks < 1 or rest:
            raise ValueError(f"a wide residual network has 6·N + 4 layers, got {depth}")
        first, second, third = (width * group for group in _GROUPS)
        self.conv1 = nn.Conv2d(channels, _STEM, 3, padding=1, bias=False)
        self.block1 = _Group(blocks, _STEM, first, stride=1)
        self.block2 = _Group(blocks, first, second, stride=2)
        self.block3 = _Group(blocks, second, third, stride=2)
        self.bn1 = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # The initialisation of He et al. 2015, as in the paper.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits, B×K."""
        x_BCHW = self.block3(self.block2(self.block1(self.conv1(x_BCHW))))
        logits_BK: Tensor = self.fc(self.bn1(x_BCHW).relu().mean(dim=(2, 3)))
        return logits_BK


class _Group(nn.Module):
    """Blocks of equal width. The first one changes the number of channels and the size."""

    def __init__(self, blocks: int, before: int, after: int, stride: int) -> None:
        super().__init__()
        first = _Block(before, after, stride)
        self.layer = nn.Sequential(first, *(_Block(after, after, 1) for _ in range(blocks - 1)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out_BCHW: Tensor = self.layer(x_BCHW)
        return out_BCHW


class _Block(nn.Module):
    """Normalise, rectify and convolve, twice; the result is added to the input of the block."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.convShortcut = None if before == after else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        active_BCHW = self.bn1(x_BCHW).relu()
        # A convolutional shortcut takes the activated input, an identity shortcut the input itself.
        kept_BCHW = x_BCHW if self.convShortcut is None else self.convShortcut(active_BCHW)
        added_BCHW: Tensor = self.conv2(self.bn2(self.conv1(active_BCHW)).relu())
        return kept_BCHW + added_BCHW
