"""How commands end: one message, or one object, and an exit code that says which."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgesplit import cli
from edgesplit.backbone.identity import feature_space
from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.cli.render.console import print_json, steps
from edgesplit.demo import unpack_demo
from edgesplit.edits.text_encoder import encoder_digest, packaged_encoder
from edgesplit.errors import EdgesplitError
from edgesplit.heads.head import Head
from edgesplit.runtime.stream import parse_source
from tests.cli.test_commands import write_video
from tests.commands import run


def test_an_error_is_an_object_with_json(bundle: Bundle) -> None:
    result = run("show", "--bundle", str(bundle.path / "nowhere"), "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["type"] == "BundleError"
    assert "does not exist" in error["message"]


def test_wrong_usage_is_an_object_with_json_too(bundle: Bundle) -> None:
    result = run("rollback", "--bundle", str(bundle.path), "--nonsense", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stderr)["error"]["type"] == "NoSuchOption"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("edit", "--accept-doubt"),
        ("features", "--overwrite"),
        ("fuse", "--overwrite"),
        ("demo", "--overwrite"),
        ("calibrate", "--accept-few"),
        ("engine build", "--rebuild"),
        ("variant add", "--rebuild"),
    ],
)
def test_force_names_the_option_that_means_it(command: str, option: str) -> None:
    result = run(*command.split(), "--force")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"There is no --force. Did you mean {option}?\n")


def test_force_names_nothing_where_nothing_means_it() -> None:
    result = run("rollback", "--force")
    assert result.exit_code == 2
    assert "Did you mean" not in result.stderr


def test_without_json_an_error_is_one_message(bundle: Bundle) -> None:
    result = run("show", "--bundle", str(bundle.path / "nowhere"))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_predict_tells_of_each_file_in_json(tmp_path: Path) -> None:
    bundle = unpack_demo(tmp_path)
    good = tmp_path / "clips" / "pulling-something-left-1.mp4"
    result = run("predict", "--json", "nowhere.mp4", good, "--bundle", bundle.path)
    assert result.exit_code == 1
    told = json.loads(result.stderr)
    assert (told["clip"], told["error"]["type"]) == ("nowhere.mp4", "ClipError")
    assert "does not exist" in told["error"]["message"]
    assert json.loads(result.stdout)["label"] == "pulling something left"


def test_a_file_that_is_no_bundle_s_cannot_be_written_as_itself(
    bundle: Bundle, tmp_path: Path
) -> None:
    split = ("edit", "--class", "pushing", "--into", "left,right", "--bundle", bundle.path)
    result = run(*split, "-o", tmp_path / "nowhere" / "head.onnx", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stderr)["error"]
    assert error["type"] == "EdgesplitError"
    assert error["message"].startswith(
        f"Cannot write {tmp_path / 'nowhere' / 'head.onnx'}: No such"
    )


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "0"])
@pytest.mark.parametrize("option", ["--window", "--stride", "--stall", "--give-up"])
def test_lengths_of_time_are_numbers(option: str, number: str) -> None:
    result = run("run", "--source", "a.mp4", option, number)
    assert result.exit_code == 2
    assert f"'{option}'" in result.stderr


def test_names_that_are_not_unicode_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"clip": "caf\udce9.ts", "label": "größer"}, indent=None)
    assert json.loads(capsys.readouterr().out) == {"clip": "caf\udce9.ts", "label": "größer"}
    assert parse_source("caf\udce9.ts").name == "caf\\xe9.ts"


def test_a_number_that_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(EdgesplitError, match="not finite"):
        print_json({"score": float("nan")})


def test_only_one_function_makes_json_for_people_to_read() -> None:
    folder = Path(cli.__file__).parent
    assert [file.name for file in folder.rglob("*.py") if "json.dumps" in file.read_text()] == [
        "console.py"
    ]


def test_a_log_file_gets_a_line_for_each_step(capfd: pytest.CaptureFixture[str]) -> None:
    with steps("measuring") as on_step:
        for step in ("edit: [1 of 2]", "edit: [1 of 2]", "edit: [2 of 2]"):
            on_step(step)
    assert capfd.readouterr() == ("", "edit: [1 of 2]\nedit: [2 of 2]\n")


@pytest.mark.parametrize("scale", [1e38, np.inf])
def test_predict_tells_no_scores_of_a_backbone_that_overflows(
    bundle: Bundle, backbone: bytes, tmp_path: Path, scale: float
) -> None:
    model = onnx.load_model_from_string(backbone)
    matrix = numpy_helper.to_array(model.graph.initializer[0])
    scaled = np.full_like(matrix, scale / len(matrix))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(scaled, "matrix"))
    broken, old = model.SerializeToString(), bundle.head()
    space = feature_space(broken, bundle.preprocessing)
    head = Head.from_arrays(100 * old.weight, old.bias, old.labels, feature_space=space)
    made = create_bundle(
        tmp_path / "broken.bundle", backbone=broken, head=head, preprocessing=bundle.preprocessing
    )
    clip = write_video(tmp_path / "clip.mp4")
    result = run("predict", clip, "--bundle", made.path, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    error = json.loads(result.stderr)["error"]
    assert error["type"] == "BackendError"
    assert "not finite" in error["message"]
    assert "--backend cpu" in error["message"]
    (tmp_path / "clips").mkdir()
    clip.rename(tmp_path / "clips" / "clip.mp4")
    result = run("calibrate", tmp_path / "clips", "--bundle", made.path, "--accept-few", "--json")
    assert result.exit_code == 1
    assert not (made.path / "stats.npz").exists()


def write_nan_encoder(folder: Path) -> None:
    """A text encoder with the packaged one's tokenizer, whose embeddings are no numbers."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.DOUBLE),
            helper.make_node("ReduceMax", ["mask"], ["ones"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["ones", "vector"], ["embedding"]),
        ],
        "encoder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "L"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.DOUBLE, ["N", 4])],
        [numpy_helper.from_array(np.full((1, 4), np.nan), "vector")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    encoder = model.SerializeToString()
    tokenizer = (packaged_encoder().folder / "tokenizer.json").read_bytes()
    about = {"digest": encoder_digest(encoder, tokenizer), "dim": 4, "max_tokens": 128}
    folder.mkdir()
    (folder / "encoder.onnx").write_bytes(encoder)
    (folder / "tokenizer.json").write_bytes(tokenizer)
    (folder / "encoder.json").write_text(json.dumps(about))


def test_an_edit_by_an_encoder_that_gives_nan_ends(bundle: Bundle) -> None:
    write_nan_encoder(bundle.path / "text")
    split = ("edit", "--class", "pushing", "--into", "left,right")
    result = run(*split, "--bundle", bundle.path, "--json")
    assert result.exit_code == 1
    error = json.loads(result.stderr)["error"]
    assert f"The text encoder in {bundle.path / 'text'} does not give a finite" in error["message"]
    assert "make it again with `edgesplit encoder`" in error["message"]


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_ends_a_long_command_with_one_word(as_json: bool) -> None:
    code = (
        "import os, signal, sys, threading\n"
        "from edgesplit import cli; from edgesplit.cli import bundle\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job has none
        "def wait(*given, **options):\n"
        "    print('waiting', flush=True); threading.Event().wait(60)\n"
        "bundle.verify.callback = wait\n"
        f"sys.argv = ['edgesplit', 'verify', *{['--json'] if as_json else []!r}]\n"
        "cli.main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=30)
    assert child.returncode == 130
    assert told.strip() == "Stopped."
