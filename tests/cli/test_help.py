"""`serm --help` must stay quick: nothing heavy may come in with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from serm.cli.main import run

HEAVY = (
    "torch",
    "pandas",
    "numpy",
    "mlflow",
    "langchain_core",
    "langgraph",
    "openai",
    "transformers",
    "sentence_transformers",
    "sklearn",
    "scipy",
    "pyarrow",
    "sqlalchemy",
)
COMMANDS = ("init", "doctor", "audit", "plan", "drift", "mine", "evolve", "trace", "models", "ui", "demo")


def test_no_help_imports_anything_heavy() -> None:
    script = (
        "import sys\n"
        "from serm.cli.main import run\n"
        f"for arguments in [['--help'], *([name, '--help'] for name in {COMMANDS!r})]:\n"
        "    code = run(arguments)\n"
        f"    heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    assert code == 0 and not heavy, (arguments, code, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: serm") == len(COMMANDS) + 1


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_version_prints_the_installed_version(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"serm {version('serm')}\n"


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evolv"]) == 2
    assert "No such command" in capsys.readouterr().err
