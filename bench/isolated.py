"""A peer's own virtual environment, from its lock file: its pins are none of ours."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def python_of(peer: str) -> Path:
    """The interpreter of bench/.venvs/<peer>, made when it is not there or its lock file has changed."""
    lock, home = HERE / "requirements" / f"{peer}.lock", HERE / ".venvs" / peer
    python, stamp = home / "bin" / "python", home / "installed.lock"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        print(f"bench: installing {peer} into {home.relative_to(HERE.parent)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(lock)], check=True)
        stamp.write_bytes(lock.read_bytes())
    return python
