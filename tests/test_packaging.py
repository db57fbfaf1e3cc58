"""The wheel and the editable install hold every package, and work. Nothing comes from an index."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
TOPS = sorted({Path(folder).parts[0] for folder in PACKAGES.values()})
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
INSTALL = ("install", "--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall")


def shell(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files in a folder of their own: a build leaves things behind."""
    pytest.importorskip("setuptools", minversion="77", reason="a build without an index needs it")
    pytest.importorskip("pip", reason="building needs pip")
    target = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
    for folder in TOPS:
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shell(*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes an environment with this one's packages but for serm, and gives its folder of programs.

    A .pth file that names this environment's packages puts them on the path, but does not run their own
    .pth files: an editable serm in it is not seen.
    """

    def make() -> Path:
        folder = tmp_path_factory.mktemp("venv")
        venv.create(folder, with_pip=False, symlinks=True)
        python = folder / "bin" / "python"
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
        (Path(shell(python, "-c", ask).strip()) / "deps.pth").write_text(
            "\n".join(packages), encoding="utf-8"
        )
        return folder / "bin"

    return make


def test_every_folder_of_code_is_a_package_of_the_project() -> None:
    tops = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    folders = [path.parent.relative_to(ROOT) for top in tops for path in top.rglob("__init__.py")]
    assert {f"serm.{'.'.join(folder.parts)}": str(folder) for folder in folders} == PACKAGES
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(PACKAGES)
    assert not (ROOT / "serm").exists(), "a folder serm/ would hide the installed package"


def test_the_wheel_holds_every_module_prompt_template_and_type_marker(wheel: Path, source: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        entry_points = next(name for name in held if name.endswith("entry_points.txt"))
        assert b"serm = serm.cli.main:main" in archive.read(entry_points)
    wanted = {
        f"serm/{path.relative_to(source)}"
        for folder in TOPS
        for path in (source / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".typed")
    }
    assert "serm/cli/template.yaml" in wanted
    assert "serm/agents/prompts/umbrela.yaml" in wanted
    assert {f"serm/{folder}/py.typed" for folder in PACKAGES.values()} <= wanted
    assert not wanted - held
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_the_installed_wheel_runs(wheel: Path, fresh: Callable[[], Path], tmp_path: Path) -> None:
    programs = fresh()
    shell(PIP[0], "-m", "pip", "--python", programs / "python", *PIP[3:], *INSTALL, wheel)
    assert "Usage: serm" in shell(programs / "serm", "--help", cwd=tmp_path)
    where = shell(programs / "python", "-c", "import serm.core; print(serm.core.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(programs.parent)
    shell(programs / "serm", "init", "mine.yaml", cwd=tmp_path)
    assert (tmp_path / "mine.yaml").is_file()


def test_an_editable_install_runs_and_sees_new_files_at_once(
    source: Path, fresh: Callable[[], Path], tmp_path: Path
) -> None:
    programs = fresh()
    shell(PIP[0], "-m", "pip", "--python", programs / "python", *PIP[3:], *INSTALL, "--editable", source)
    assert "Usage: serm" in shell(programs / "serm", "--help", cwd=tmp_path)
    (source / "tools" / "brand_new.py").write_text("WORD = 'seen'\n", encoding="utf-8")
    ask = "from serm.tools.brand_new import WORD; print(WORD)"
    assert shell(programs / "python", "-c", ask, cwd=tmp_path).strip() == "seen"
