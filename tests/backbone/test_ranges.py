"""The range of values: what is measured, on which clips, and how much memory it takes."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

from edgesplit.backbone.ranges import measure_ranges
from edgesplit.backbone.session import open_session
from edgesplit.errors import BackendError
from tests.backbones import DIM, Made, clips, convolutions, transformer


def values_of(model: onnx.ModelProto) -> list[str]:
    return ["clip", *(node.output[0] for node in model.graph.node)]


def test_ranges_are_the_extremes_of_each_value_over_all_clips() -> None:
    model = onnx.load_model_from_string(transformer())
    before = model.SerializeToString()
    ranges = measure_ranges(model, values_of(model), clips())
    assert model.SerializeToString() == before
    assert ranges["clip"] == (float(clips().min()), float(clips().max()))
    watched = [name for name in values_of(model)[1:] if name != "features"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in watched)
    session = open_session(model.SerializeToString(), optimize=False)
    for name, value in zip(watched, session.run(watched, {"clip": clips()}), strict=True):
        np.testing.assert_allclose(
            ranges[name], (value.min(), value.max()), rtol=1e-4, err_msg=name
        )


def test_only_what_is_asked_is_measured() -> None:
    model = onnx.load_model_from_string(convolutions())
    assert list(measure_ranges(model, ["features"], clips())) == ["features"]
    assert measure_ranges(model, [], clips()) == {}
    with pytest.raises(ValueError, match="there are no clips"):
        measure_ranges(model, ["features"], [])


@pytest.mark.parametrize("place", [0, 1, 7, 1000, -1])
def test_a_number_that_is_none_is_seen_wherever_it_is(place: int) -> None:
    model = onnx.load_model_from_string(convolutions())
    given = clips(3)
    given[1].flat[place] = np.nan
    assert np.isnan(measure_ranges(model, ["clip"], given)["clip"]).all()


def test_infinite_numbers_are_ends_of_a_range() -> None:
    model = onnx.load_model_from_string(convolutions())
    given = clips(3)
    given[1, 0, 0, 0, 0] = -np.inf
    low, high = measure_ranges(model, ["clip"], given)["clip"]
    assert (low, high) == (-np.inf, float(given.max()))


def test_values_named_like_the_new_ones_are_not_mixed_up() -> None:
    made = Made()
    name = "range/clip/ReduceMin"
    pooled = made.add("ReduceMean", "clip", made.constant(np.array([2, 3, 4])), keepdims=0)
    made.nodes.append(onnx.helper.make_node("Neg", [pooled], [name]))
    model = onnx.load_model_from_string(made.to_bytes(made.linear(name, 3, DIM)))
    ranges = measure_ranges(model, ["clip", name], clips())
    assert ranges["clip"][1] == float(clips().max())
    assert -1 < ranges[name][0] < ranges[name][1] < 0


def test_a_backbone_that_fails_says_so() -> None:
    model = onnx.load_model_from_string(convolutions())
    with pytest.raises(BackendError, match=r"failed on a clip of \(3, 4, 16\)"):
        measure_ranges(model, ["features"], [clips(1)[0, ..., 0]])


def test_values_are_freed_as_soon_as_they_are_used() -> None:
    code = (
        "import resource, numpy as np, onnx\n"
        "from edgesplit.backbone.ranges import measure_ranges\n"
        "from tests.backbones import Made\n"
        "made, value, names = Made(), 'clip', []\n"
        "for _ in range(64):\n"
        "    value = made.add('Relu', value); names.append(value)\n"
        "mean = made.add('ReduceMean', value, made.constant(np.array([2, 3, 4])), keepdims=0)\n"
        "data = made.to_bytes(made.linear(mean, 3, 32), clip_shape=(3, 8, 256, 256))\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "clip = np.zeros((3, 8, 256, 256), np.float32)\n"
        "before = used()\n"
        "measure_ranges(onnx.load_model_from_string(data), names, [clip])\n"
        "print((used() - before) * 1024 / clip.nbytes)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 16  # clips' worth of memory; all values together are 64
