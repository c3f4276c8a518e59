"""Where a classifier is cut, and which models are refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.cut import find_cut

pytestmark = pytest.mark.torch

N_CLASSES = 5
CLIP_SHAPE = (3, 4, 16, 16)


class Pooled(nn.Module):
    """A convolution, a mean over time and space, dropout, a linear layer."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, N_CLASSES, bias=bias)

    def features(self, clips: Tensor) -> Tensor:
        stem: Tensor = self.stem(clips)
        return self.drop(stem.relu().mean((2, 3, 4)))  # type: ignore[no-any-return]

    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips))


class Softmax(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)).softmax(1)


class Squared(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)).square()


class LikeHuggingFace(Pooled):
    def forward(self, clips: Tensor) -> object:
        return SimpleNamespace(loss=None, logits=self.head(self.features(clips)))


class FirstOfTuple(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)), "attention"


class ByKeyword(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(input=self.features(clips))


class Squeezed(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips).unsqueeze(1)).squeeze(1)


class PerFrame(Pooled):
    """Frames as rows of the batch, as TSN and TSM do; the mean comes after the head."""

    def forward(self, clips: Tensor) -> object:
        frames = self.stem(clips).relu().mean((3, 4)).transpose(1, 2)
        return self.head(frames.flatten(0, 1)).view(clips.shape[0], -1, N_CLASSES).mean(1)


class MaxOverFrames(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.stem(clips).relu().mean((3, 4)).transpose(1, 2)).amax(1)


class FrameByFrame(Pooled):
    def forward(self, clips: Tensor) -> object:
        frames = self.stem(clips).relu().mean((3, 4))
        return torch.stack([self.head(frames[:, :, t]) for t in range(frames.shape[2])]).mean(0)


class ConvOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, N_CLASSES, 3)

    def forward(self, clips: Tensor) -> object:
        return self.stem(clips).mean((2, 3, 4))


class HiddenLayerAfterwards(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Parameter(torch.rand(7, N_CLASSES))

    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)) @ self.last.T


class ConvolutionalHead(Pooled):
    """The head runs at every place of the feature map and a mean follows, as in S3D."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.head = nn.Conv3d(8, N_CLASSES, 1, bias=bias)  # type: ignore[assignment]

    def forward(self, clips: Tensor) -> object:
        return self.head(self.stem(clips).relu()).mean((2, 3, 4))


class ConvolutionalHeadOfPooled(ConvolutionalHead):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)[:, :, None, None, None]).flatten(1)


class MaxOverPlaces(ConvolutionalHead):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.stem(clips).relu()).amax((2, 3, 4))


class TwoHeads(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.noun = nn.Linear(8, 9)

    def forward(self, clips: Tensor) -> object:
        features = self.features(clips)
        return self.head(features), self.noun(features)


class AlwaysDropping(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(nn.functional.dropout(self.features(clips), 0.5))


class UnusedLayer(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(8, N_CLASSES)


@pytest.fixture
def clips() -> Tensor:
    return torch.rand(3, *CLIP_SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "kind", [Pooled, LikeHuggingFace, FirstOfTuple, ByKeyword, Squeezed, UnusedLayer, TwoHeads]
)
def test_linear_layer_that_gives_the_output_is_found(kind: type[Pooled], clips: Tensor) -> None:
    model = kind()
    cut = find_cut(model, clips)
    assert (cut.layer, cut.averaged, cut.reference) == ("head", False, "output")
    np.testing.assert_array_equal(cut.weight, model.head.weight.detach().numpy())
    np.testing.assert_array_equal(cut.bias, model.head.bias.detach().numpy())
    assert (cut.n_classes, cut.feature_dim) == (N_CLASSES, 8)


@pytest.mark.parametrize("kind", [Pooled, Squeezed, PerFrame])
def test_head_on_features_is_the_model(kind: type[Pooled], clips: Tensor) -> None:
    model = kind()
    cut = find_cut(model, clips)
    with torch.inference_mode():
        features = cut.backbone(clips).numpy()
        logits = model.eval()(clips).numpy()
    assert features.shape == (3, 8)
    # float32 sums of 8 products in another order
    np.testing.assert_allclose(features @ cut.weight.T + cut.bias, logits, atol=1e-6)


def test_mean_over_rows_moves_before_the_head(clips: Tensor) -> None:
    cut = find_cut(PerFrame(), clips)
    assert cut.averaged


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "averaged"), [(ConvolutionalHead, True), (ConvolutionalHeadOfPooled, False)]
)
def test_convolution_with_a_kernel_of_one_is_a_head(
    kind: type[ConvolutionalHead], averaged: bool, bias: bool, clips: Tensor
) -> None:
    model = kind(bias=bias)
    cut = find_cut(model, clips)
    assert (cut.layer, cut.averaged, cut.weight.shape) == ("head", averaged, (N_CLASSES, 8))
    features, logits = cut.run(clips)
    assert features.shape == (3, 8)
    with torch.inference_mode():
        wanted = model.eval()(clips)
    torch.testing.assert_close(logits, wanted)
    # float32: a mean over 1024 places before the product instead of after it
    rows = features.numpy() @ cut.weight.T + cut.bias
    np.testing.assert_allclose(rows, wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv3d(3, N_CLASSES, 3),
        nn.Conv3d(3, N_CLASSES, 1, stride=2),
        nn.Conv3d(3, N_CLASSES, 1, padding=1),
        nn.Conv3d(3, 6, 1, groups=3),
    ],
    ids=["kernel", "stride", "padding", "groups"],
)
def test_convolution_that_is_not_linear_per_place_is_no_head(
    convolution: nn.Conv3d, clips: Tensor
) -> None:
    model = nn.Sequential(convolution, nn.AdaptiveAvgPool3d(1), nn.Flatten())
    with pytest.raises(ExportError, match=r"no nn.Linear layer.*in a 1x1x1 convolution"):
        find_cut(model, clips)


def test_missing_bias_becomes_zeros(clips: Tensor) -> None:
    cut = find_cut(Pooled(bias=False), clips)
    np.testing.assert_array_equal(cut.bias, np.zeros(N_CLASSES, np.float32))


def test_model_is_left_as_it_is(clips: Tensor) -> None:
    model = Pooled().double().train()
    cut = find_cut(model, clips)
    assert model.training
    assert model.head.weight.dtype == torch.float64
    assert model.head.weight.requires_grad
    assert not model.head._forward_hooks
    assert cut.weight.dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Softmax, r"differs by [\d.]+ of the largest .*softmax follows.*--head-layer head"),
        (Squared, r"differs by [\d.]+ of the largest .*cannot undo.*--head-layer head"),
        (MaxOverPlaces, r"the mean over the rows of 'head' differs by"),
        (MaxOverFrames, r"the mean over the rows of 'head' differs by"),
        (FrameByFrame, "'head' runs 4 times for one batch"),
        (ConvOnly, r"no nn.Linear layer.*last layer is Conv3d 'stem'"),
        (HiddenLayerAfterwards, r"gives its 7 outputs; the last one, 'head', gives 5"),
        (AlwaysDropping, r"two answers for the same clips.*F.dropout"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_models_without_a_linear_tail_are_refused(
    kind: type[nn.Module], message: str, clips: Tensor
) -> None:
    with pytest.raises(ExportError, match=message):
        find_cut(kind(), clips)


def test_named_layer_before_a_softmax_gives_the_logits(clips: Tensor) -> None:
    model = Softmax()
    cut = find_cut(model, clips, head_layer="head")
    assert cut.reference == "layer"
    _, logits = cut.run(clips)
    with torch.inference_mode():
        torch.testing.assert_close(logits.softmax(1), model.eval()(clips))


def test_second_head_can_be_named(clips: Tensor) -> None:
    cut = find_cut(TwoHeads(), clips, head_layer="noun")
    assert (cut.n_classes, cut.reference) == (9, "layer")


@pytest.mark.parametrize(
    ("kind", "layer", "message"),
    [
        (Squared, "head", r"ranks the classes otherwise .*[\d.e-]+ of the largest"),
        (Pooled, "haed", "no layer 'haed'. Nearest linear layers: head"),
        (Pooled, "stem", "'stem' is Conv3d, not a linear layer. Linear layers: head"),
        (UnusedLayer, "projection", "'projection' does not run"),
        (FrameByFrame, "head", "'head' runs 4 times"),
    ],
    ids=["ranks_otherwise", "misspelt", "not_linear", "unused", "called_often"],
)
def test_named_layers_that_cannot_be_the_head_are_refused(
    kind: type[nn.Module], layer: str, message: str, clips: Tensor
) -> None:
    with pytest.raises(ExportError, match=message):
        find_cut(kind(), clips, head_layer=layer)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("logits", "returns str, not logits"),
        (torch.zeros(7), r"returns shape \(7,\) for 3 clips"),
        (torch.full((3, 5), torch.nan), "returns NaN"),
    ],
    ids=["no_tensor", "no_batch", "nan"],
)
def test_outputs_that_are_not_logits_are_refused(
    output: object, message: str, clips: Tensor
) -> None:
    class Fixed(Pooled):
        def forward(self, clips: Tensor) -> object:
            return output

    with pytest.raises(ExportError, match=message):
        find_cut(Fixed(), clips)


def test_clips_of_the_wrong_shape_name_the_shape(clips: Tensor) -> None:
    with pytest.raises(
        ExportError, match=r"fails on clips of shape \(3, 4, 3, 16, 16\).*\n.*layout"
    ):
        find_cut(Pooled(), clips.transpose(1, 2))


def test_one_clip_is_not_enough(clips: Tensor) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        find_cut(Pooled(), clips[:1])
