"""Checks the installed wheel as a user has it: no dev dependencies, no torch, no checkout.

Plain Python, run by `make wheel` from an empty folder with `python -I`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import edgesplit

COMMAND = [str(Path(sys.executable).with_name("edgesplit"))]


def run(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"edgesplit {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def require(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"wheel check failed: {what}")
    print(f"ok  {what}")


def main() -> None:
    for name in ("torch", "transformers", "pytest"):
        require(importlib.util.find_spec(name) is None, f"{name} is not installed")
    home = Path(edgesplit.__file__).resolve()
    require("site-packages" in home.parts, "edgesplit comes from the wheel")
    tops = {
        file.parts[0] for file in files("edgesplit") or [] if not file.parts[0].startswith("..")
    }
    packages = {top for top in tops if not top.endswith((".dist-info", ".data"))}
    require(packages == {"edgesplit"}, f"the wheel installs one package: {sorted(packages)}")
    require("\nEdit:\n" in run("--help"), "edgesplit --help works")

    result = json.loads(run("demo", "demo", "--json"))
    changed = [a for a in result["answers"] if a["before"]["label"] != a["after"]["label"]]
    require(len(changed) > 0, "the demo changes answers")
    require(
        all(a["before"]["label"] == "pushing something" for a in changed),
        "only answers that said 'pushing something' change",
    )
    require(result["score"]["churn"] == 0, "no held-out decision flips outside the split")
    os.chdir("demo")
    exported = json.loads(run("log", "--json"))[-1]["to"]
    run("edit", "--class", "pushing", "--into", "left,right")
    require(json.loads(run("log", "--json"))[0]["to"] != exported, "the edit works as typed")
    said = run("predict", "clips/pushing-something-left-1.mp4")
    require("pushing something left" in said, "predict says left")
    run("rollback")
    require(json.loads(run("log", "--json"))[0]["to"] == exported, "rollback brings it back")
    require("are intact" in run("verify"), "the bundle verifies")


if __name__ == "__main__":
    main()
