"""Scripts for shells: they can be read, and complete commands, options and RIDs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deriva_ml_prefect.cli.completion import SHELLS, script_of
from deriva_ml_prefect.cli.main import COMMANDS, build_parser, main
from tests.spec.completions import script


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_script_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name in (*COMMANDS, "deriva-ml-run", "deriva-ml-run-notebook"):
        assert name in script
    assert "--interrupted" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_scripts_are_what_the_parsers_say() -> None:
    for shell in SHELLS:
        assert script_of(shell).read_text() == script(shell), "run python -m tests.spec.completions"


def completed(script: str, words: list[str], path: Path) -> list[str]:
    """What bash offers for the last of the words."""
    given = " ".join(f"'{word}'" for word in words)
    code = (
        f"{script}\nCOMP_WORDS=({given}); COMP_CWORD={len(words) - 1}\n"
        "_shtab_deriva_ml_prefect; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    env = {"PATH": f"{path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_bash_completes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    fake = tmp_path / "deriva-ml-prefect"
    fake.write_text("#!/bin/sh\nprintf 'RID STATUS\\n1-ABCD Uploaded\\n2-XYZ Failed\\n'\n")
    fake.chmod(0o755)
    assert completed(script, ["deriva-ml-prefect", "ver"], tmp_path) == ["verify"]
    assert completed(script, ["deriva-ml-prefect", "ls", "--int"], tmp_path) == ["--interrupted"]
    assert completed(script, ["deriva-ml-prefect", "show", ""], tmp_path) == ["1-ABCD", "2-XYZ"]
    assert completed(script, ["deriva-ml-prefect", "verify", "2"], tmp_path) == ["2-XYZ"]


def test_every_command_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            build_parser(name).parse_args([name, "--help"])
        assert ended.value.code == 0
        assert f"usage: deriva-ml-prefect {name}" in capsys.readouterr().out
