"""Where a classifier is cut, and which models are refused."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.graph.cut import find_cut
from edgesplit.export.graph.tail import Tail

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


class Sigmoid(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)).sigmoid()


class HotSigmoid(Pooled):
    def forward(self, clips: Tensor) -> object:
        return (3 * self.head(self.features(clips))).sigmoid()


class ShareOfSigmoids(Pooled):
    """Positive and of sum 1, as a softmax's outputs, which it is near to for small logits."""

    def forward(self, clips: Tensor) -> object:
        odds = (self.head(self.features(clips)) / 10).sigmoid()
        return odds / odds.sum(1, keepdim=True)


class Scaled(Pooled):
    """A learned temperature, as in heads that are made as CLIP's are."""

    def __init__(self, factor: float = 14.3, *, bias: bool = True) -> None:
        super().__init__(bias=bias)
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)) * self.factor


class Negative(Scaled):
    def __init__(self) -> None:
        super().__init__(-3.0)


class ScaledSoftmax(Scaled):
    def forward(self, clips: Tensor) -> object:
        return (self.head(self.features(clips)) * self.factor).softmax(1)


class SureSoftmax(Scaled):
    """Its smallest probabilities are 0 in float32."""

    def __init__(self) -> None:
        super().__init__(1000.0)

    def forward(self, clips: Tensor) -> object:
        return (self.head(self.features(clips)) * self.factor).softmax(1)


class LogSoftmax(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)).log_softmax(1)


class CosineOfFeatures(Pooled):
    """Features of length 1 before the layer: a factor behind it is all that is left."""

    def forward(self, clips: Tensor) -> object:
        return 16 * self.head(nn.functional.normalize(self.features(clips), dim=1))


class NormalisedBehind(Pooled):
    def __init__(self) -> None:
        super().__init__(bias=False)

    def forward(self, clips: Tensor) -> object:
        features = self.features(clips)
        return self.head(features) / features.norm(dim=1, keepdim=True)


class ScaledByClass(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)) * torch.arange(1.0, N_CLASSES + 1)


class CosineLinear(nn.Linear):
    def forward(self, rows: Tensor) -> Tensor:
        weight = nn.functional.normalize(self.weight, dim=1)
        return 16 * nn.functional.linear(nn.functional.normalize(rows, dim=1), weight)


class Cosine(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.head = CosineLinear(8, N_CLASSES)


class CosineOfParameter(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 7)
        self.prototypes = nn.Parameter(torch.rand(N_CLASSES, 7))

    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)) @ self.prototypes.T


class LowRank(nn.Linear):
    def __init__(self) -> None:
        super().__init__(8, N_CLASSES)
        self.down, self.up = nn.Parameter(torch.rand(2, 8)), nn.Parameter(torch.rand(N_CLASSES, 2))

    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows) + rows @ self.down.T @ self.up.T


class WithLowRank(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.head = LowRank()


class WeightAlone(Pooled):
    def forward(self, clips: Tensor) -> object:
        return nn.functional.linear(self.features(clips), self.head.weight)


class OneOutput(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 1)


class Configured(Pooled):
    def __init__(self, problem_type: str) -> None:
        super().__init__()
        self.config: Any = SimpleNamespace(problem_type=problem_type)


class Clipped(Pooled):
    """Its logits on noise are far from the limits."""

    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)).clamp(-30, 30)


class Capped(Pooled):
    def forward(self, clips: Tensor) -> object:
        return 30 * torch.tanh(self.head(self.features(clips)) / 30)


class ClippedSoftmax(Pooled):
    def forward(self, clips: Tensor) -> object:
        return self.head(self.features(clips)).clamp(-30, 30).softmax(1)


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


class TwoHeadsOfProbabilities(TwoHeads):
    def forward(self, clips: Tensor) -> object:
        features = self.features(clips)
        return {"logits": self.head(features), "noun": self.noun(features).softmax(1)}


class SecondHeadIsSigmoid(TwoHeads):
    def forward(self, clips: Tensor) -> object:
        features = self.features(clips)
        return self.head(features), self.noun(features).sigmoid()


class SecondHeadIsKept(TwoHeads):
    def forward(self, clips: Tensor) -> object:
        features = self.features(clips)
        return self.head(features) + self.noun(features).mean()


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
    assert (cut.layer, cut.averaged, cut.tail) == ("head", False, Tail())
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
        (Squared, r"differs by [\d.]+ of the largest .*does not support"),
        (Sigmoid, r"differs by [\d.]+ of the largest .*a sigmoid per class follows it"),
        (HotSigmoid, "a sigmoid per class follows it"),
        (ShareOfSigmoids, "does not support"),
        (Negative, "multiplied by -3, a constant that is not positive"),
        (NormalisedBehind, "multiplied by a different factor for each clip: something"),
        (ScaledByClass, "multiplied by a different factor for each class"),
        (Clipped, "after 'head' changes when logits reach 1000. Do not clip"),
        (Capped, "would differ from the model's"),
        (ClippedSoftmax, "after 'head' changes when logits reach 100"),
        (Cosine, r"'head' is CosineLinear, whose output is not weight @ features \+ bias"),
        (WithLowRank, r"'head' is LowRank, .* such as LoRA"),
        (CosineOfParameter, "gives its 5 outputs; the last one, 'head', gives 7"),
        (WeightAlone, r"'head' has 5 rows, one for each output of the model, but its forward\(\)"),
        (OneOutput, "'head' gives one number per clip, so the model does not choose"),
        (MaxOverPlaces, r"the mean over the rows of 'head' differs by"),
        (MaxOverFrames, r"the mean over the rows of 'head' differs by"),
        (FrameByFrame, "'head' runs 4 times for one batch"),
        (ConvOnly, r"no nn.Linear layer.*last layer is Conv3d 'stem'"),
        (HiddenLayerAfterwards, r"gives its 7 outputs; the last one, 'head', gives 5"),
        (AlwaysDropping, r"two runs on the same clips.*F.dropout"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_models_without_a_linear_tail_are_refused(
    kind: type[nn.Module], message: str, clips: Tensor
) -> None:
    with pytest.raises(ExportError, match=message) as refused:
        find_cut(kind(), clips)
    assert "--head-layer head" not in str(refused.value)  # which would be refused as well


def test_a_quantized_model_is_refused_with_the_way_to_8_bits(clips: Tensor) -> None:
    quantize = torch.ao.quantization.quantize_dynamic
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch moves its quantization elsewhere
        linear = nn.Linear(clips[0].numel(), 5)
        small = quantize(nn.Sequential(nn.Flatten(), linear), {nn.Linear})  # type: ignore[no-untyped-call]
    with pytest.raises(ExportError, match=r"is quantized.*edgesplit variant add int8"):
        find_cut(small, clips)


@pytest.mark.parametrize("named", [None, "head"])
@pytest.mark.parametrize(
    ("kind", "tail"),
    [
        (Scaled, Tail(14.3)),
        (CosineOfFeatures, Tail(16)),
        (Softmax, Tail(1, "softmax")),
        (ScaledSoftmax, Tail(14.3, "softmax")),
        (SureSoftmax, Tail(1000, "softmax")),
        (LogSoftmax, Tail(1, "log-softmax")),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_scores_of_the_head_are_the_models_own(
    kind: type[Pooled], tail: Tail, named: str | None, clips: Tensor
) -> None:
    model = kind().eval()
    cut = find_cut(model, clips[:2], head_layer=named)
    assert (cut.layer, cut.tail.function) == ("head", tail.function)
    assert cut.tail.scale == pytest.approx(tail.scale, rel=1e-6)
    with torch.inference_mode():
        output = model(clips)
    features, logits = cut.run(clips)
    head = features @ torch.from_numpy(cut.weight).T + torch.from_numpy(cut.bias)
    torch.testing.assert_close(head, logits, rtol=1e-4, atol=1e-5)
    scores = output if "Softmax" in kind.__name__ else output.softmax(1)
    scores = output.exp() if kind is LogSoftmax else scores
    torch.testing.assert_close(head.softmax(1), scores, rtol=1e-4, atol=1e-6)


def test_layer_without_a_factor_keeps_its_very_weights(clips: Tensor) -> None:
    model = Softmax()
    np.testing.assert_array_equal(find_cut(model, clips).weight, model.head.weight.detach().numpy())


def test_factor_that_is_constant_for_the_first_clips_only_is_refused_later(clips: Tensor) -> None:
    class Brightened(Scaled):
        def forward(self, clips: Tensor) -> object:
            factor = self.factor * (2 if float(clips.abs().max()) > 50 else 1)
            return self.head(self.features(clips)) * factor

    cut = find_cut(Brightened(), clips)
    with pytest.raises(ExportError, match="The operation after 'head' depends on the clip"):
        cut.run(100 * clips)


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_hugging_face_models_of_another_problem_are_refused(
    problem_type: str, clips: Tensor
) -> None:
    with pytest.raises(ExportError, match=f"problem_type '{problem_type}' .* not a softmax"):
        find_cut(Configured(problem_type), clips)
    assert find_cut(Configured("single_label_classification"), clips).layer == "head"


@pytest.mark.parametrize(
    ("kind", "function"), [(TwoHeads, ""), (TwoHeadsOfProbabilities, "softmax")]
)
def test_second_head_can_be_named(kind: type[TwoHeads], function: str, clips: Tensor) -> None:
    model = kind().eval()
    cut = find_cut(model, clips, head_layer="noun")
    assert (cut.n_classes, cut.output, cut.tail.function) == (9, 1, function)
    _, logits = cut.run(clips)
    with torch.inference_mode():
        torch.testing.assert_close(logits, model.noun(model.features(clips)))


def test_compiled_model_is_taken_as_the_one_that_was_compiled(clips: Tensor) -> None:
    model = Pooled()
    cut = find_cut(torch.compile(model, backend="eager"), clips)  # type: ignore[arg-type]
    assert cut.layer == "head"
    np.testing.assert_array_equal(cut.weight, model.head.weight.detach().numpy())


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_is_refused_by_name(clips: Tensor) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, N_CLASSES)

        def forward(self, clips: Tensor) -> Tensor:
            return self.head(clips)  # type: ignore[no-any-return]

    with pytest.raises(ExportError, match="is TorchScript, whose layers cannot be accessed"):
        find_cut(torch.jit.script(Plain()), clips)


@pytest.mark.parametrize(
    ("kind", "layer", "message"),
    [
        (Squared, "head", r"differs by [\d.]+ of the largest .*does not support"),
        (Sigmoid, "head", "a sigmoid per class follows it"),
        (NormalisedBehind, "head", "a different factor for each clip"),
        (Cosine, "head", "'head' is CosineLinear"),
        (SecondHeadIsSigmoid, "noun", "a sigmoid per class follows it"),
        (SecondHeadIsKept, "noun", "'noun' gives 9 numbers per clip, but the model returns no"),
        (CosineOfParameter, "head", "'head' gives 7 numbers per clip, but the model returns no"),
        (Pooled, "haed", "no layer 'haed'. Nearest linear layers: head"),
        (Pooled, "stem", "'stem' is Conv3d, not a linear layer. Linear layers: head"),
        (UnusedLayer, "projection", "'projection' does not run"),
        (FrameByFrame, "head", "'head' runs 4 times"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
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
