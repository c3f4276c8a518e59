"""How commands end: one message, or one object, and an exit code that says which."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgesplit.bundle import Bundle
from edgesplit.cli.options import print_json
from edgesplit.demo import unpack_demo
from edgesplit.runtime import parse_source
from tests.test_cli import run


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


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_ends_a_long_command_with_one_word(as_json: bool) -> None:
    code = (
        "import os, signal, sys, threading\n"
        "from edgesplit import cli; from edgesplit.cli import history\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job has none
        "def wait(*given, **options):\n"
        "    print('waiting', flush=True); threading.Event().wait(60)\n"
        "history.verify.callback = wait\n"
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
