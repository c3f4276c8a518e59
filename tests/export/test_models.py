"""MODEL, as one names it: which reader it goes to, and what the refusals say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("transformers")

from edgesplit.errors import ExportError
from edgesplit.export.models import load_classifier

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_colon", "'no_colon' is not a folder and names no model. Give a Hugging Face folder"),
        ("module:", "'module:' is not a folder and names no model. Give a Hugging Face folder"),
        (":make", "or package.module:factory, for example mymodels.tsm:build_model"),
        ("/no/such/folder", "'/no/such/folder' is not a folder"),
        ("no_such_module_anywhere:make", "cannot be imported .*No module named"),
        ("mvd:vit-tiny", "There is no mvd:vit-tiny. Give mvd:vit-small"),
        ("torchvision:r50", "There is no torchvision:r50. Give one of torchvision:r3d_18"),
    ],
)
def test_specs_that_name_nothing_say_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        load_classifier(spec)


def test_factory_of_the_current_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text(
        "from torch import nn\ndef make(n_classes): return nn.Linear(4, n_classes)\n"
    )
    monkeypatch.chdir(tmp_path)
    classifier = load_classifier("only_here:make", n_classes=5)
    assert classifier.model.out_features == 5
    assert classifier.labels is None
    assert classifier.settings == {}


def test_folder_without_a_config_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"has no config\.json: it is not a Hugging Face"):
        load_classifier(str(tmp_path))


def test_checkpoint_beside_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"has its own weights: omit --checkpoint w\.pt"):
        load_classifier(str(tmp_path), checkpoint=Path("w.pt"))


def test_unreachable_hub_id_is_one_message() -> None:
    # In a process of its own: HF_HUB_OFFLINE is read when transformers is imported.
    code = (
        "from edgesplit.errors import ExportError\n"
        "from edgesplit.export.models import load_classifier\n"
        "try: load_classifier('nobody/no-such-model')\n"
        "except ExportError as error: print(error)"
    )
    path = ":".join(part for part in sys.path if part)
    run = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "HF_HOME": "/nowhere"},
    )
    message = "nobody/no-such-model (a hub id, as no folder has that name) cannot be loaded"
    assert run.stdout.startswith(message)
    assert "offline" in run.stdout


def test_missing_torch_names_the_extra() -> None:
    code = (
        "import sys; sys.modules.update(torch=None)\n"
        "from edgesplit.errors import MissingExtraError\n"
        "try: import edgesplit.export.graph.cut\n"
        "except MissingExtraError as error: print(error)"
    )
    path = {"PYTHONPATH": ":".join(part for part in sys.path if part)}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=path)
    assert "torch" in run.stdout
    assert "'.[export]' in a checkout" in run.stdout


def test_lazy_names_are_all_there() -> None:
    import edgesplit.export

    for name in edgesplit.export.__all__:
        assert getattr(edgesplit.export, name).__name__ == name
    assert list(edgesplit.export.__all__) == sorted(edgesplit.export.__all__)
