"""What is typed: a command of edgesplit, run in this process."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from edgesplit.cli import main

__all__ = ["run", "run_json"]


def run(*arguments: str | Path) -> Result:
    """The result of a command, with its two outputs apart."""
    # click 8.1 mixes the streams unless told; 8.2 does not, and knows no such option.
    apart: dict[str, Any] = {"mix_stderr": False} if hasattr(CliRunner(), "mix_stderr") else {}
    return CliRunner(**apart).invoke(main, [str(argument) for argument in arguments])


def run_json(*arguments: str | Path) -> Any:
    """What a command prints with --json; it must end well."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
