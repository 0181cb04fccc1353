"""Does an unmodified deriva-ml get on with the embedded DERIVA, and with deriva-ml-prefect in one catalog?

Run it with the project's Python (`make compat`). It makes a virtual environment `.venv-compat` with deriva-ml from the
registry, at the versions of `constraints.txt`; starts an embedded DERIVA in a temporary folder; and lets four programs
work, each in a process of its own. Each step prints one line. The exit status is 0 if all of them went well.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from steps import Steps

from deriva_ml_prefect.embedded.authn import OWNER, read_tokens
from deriva_ml_prefect.embedded.server import spawn, stop

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent.parent / ".venv-compat"
REQUIREMENTS = ("deriva-ml==1.17.10", "deriva==1.7.12")
INSTALL_SECONDS = 900
PROGRAM_SECONDS = 900
IDLE_MINUTES = 10


def ensure_environment() -> Path:
    """Python of the environment with deriva-ml, which is made when there is none or its constraints have changed."""
    constraints = HERE / "constraints.txt"
    stamp = ENVIRONMENT / ".installed"
    wanted = hashlib.sha256(constraints.read_bytes() + sys.version.encode()).hexdigest()
    python = ENVIRONMENT / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints]
        said = subprocess.run(
            [*command, *REQUIREMENTS], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if said.returncode:
            raise RuntimeError(f"pip could not install {', '.join(REQUIREMENTS)}:\n{said.stderr[-2000:]}")
        stamp.write_text(wanted)
    return python


def make_repository(folder: Path) -> None:
    """A git repository with the programs in it: deriva-ml wants to tell where its caller's code comes from."""
    folder.mkdir()
    for name in ("steps.py", "stock_client.py", "our_client.py"):
        shutil.copy(HERE / name, folder)
    (folder / ".gitignore").write_text("__pycache__/\nwork/\ncache/\n")
    for command in (
        ["init", "--quiet"],
        ["remote", "add", "origin", "https://example.org/compat.git"],
        ["add", "."],
        ["-c", "user.name=Compat", "-c", "user.email=compat@example.org", "commit", "--quiet", "-m", "Programs"],
        ["tag", "v1.0.0"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def write_credentials(home: Path, host: str, token: str) -> None:
    """What a login leaves behind: deriva-py's file, and bdbag's for the files of a bag."""
    for path, document in (
        (home / ".deriva" / "credential.json", {host: {"bearer-token": token}}),
        (
            home / ".bdbag" / "keychain.json",
            [{"uri": f"https://{host}", "auth_type": "bearer-token", "auth_params": {"token": token}}],
        ),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(document))
        path.chmod(0o600)


def run_program(python: Path, arguments: list[str], folder: Path, environment: dict[str, str]) -> bool:
    """Whether the program went well; what it says beside its lines goes to stderr if it did not."""
    with tempfile.TemporaryFile("w+") as said:
        ended = subprocess.run(
            [python, *arguments], cwd=folder, env=environment, stderr=said, timeout=PROGRAM_SECONDS, check=False
        )
        if ended.returncode:
            said.seek(0)
            sys.stderr.write(said.read()[-20_000:])
            print(f"failed {' '.join(arguments[:2])} ended with exit status {ended.returncode}", flush=True)
    return ended.returncode == 0


def run_all(python: Path, folder: Path) -> bool:
    """Both directions; the second is tried even if the first failed."""
    steps = Steps("embedded DERIVA")
    home, code, data = folder / "home", folder / "code", folder / "deriva-ml-home" / "embedded"
    home.mkdir()
    make_repository(code)
    with steps.step("starts, with HTTPS"):
        server = spawn(data, idle_minutes=IDLE_MINUTES)
        host = str(server.https_url).removeprefix("https://")
        write_credentials(home, host, read_tokens(data)[OWNER])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DERIVA_", "PYTHON"))},
        "HOME": str(home),
        "REQUESTS_CA_BUNDLE": str(server.ca_file),
        "DERIVA_ML_HOME": str(folder / "deriva-ml-home"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")]),
    }

    def stock(act: str, facts: Path) -> bool:
        return run_program(python, ["stock_client.py", act, host, str(facts)], code, environment)

    def ours(act: str, facts: Path) -> bool:
        return run_program(Path(sys.executable), ["our_client.py", act, str(facts)], code, environment)

    theirs_first, ours_first = folder / "theirs.json", folder / "ours.json"
    theirs_first.write_text(json.dumps({"own": True, "https_host": host}))
    ours_first.write_text(json.dumps({"own": False, "https_host": host}))
    try:
        first = stock("own", theirs_first) and ours("read", theirs_first)
        second = ours("make", ours_first) and stock("use", ours_first) and ours("read", ours_first)
    finally:
        stop(data)
    return first and second


def main() -> int:
    with Steps("environment").step(f"has {' and '.join(REQUIREMENTS)}"):
        python = ensure_environment()
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        return 0 if run_all(python, Path(folder).resolve()) else 1


if __name__ == "__main__":
    sys.exit(main())
