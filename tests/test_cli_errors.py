"""How commands end: one message, or one object, and an exit code that says which."""

import json
import signal
import subprocess
import sys
import time

import pytest

from edgesplit.bundle import Bundle
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
