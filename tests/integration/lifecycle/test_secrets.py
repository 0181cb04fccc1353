"""Twenty kinds of secret planted wherever a run could record them, and found nowhere in the home folder or the log."""

from __future__ import annotations

import logging
import os
import secrets
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.deriva_ml import DerivaML

OWN_SECRETS = {"tokens.json", "scrub.key"}


def drawn(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def planted() -> dict[str, tuple[str, str]]:
    """Kind → (text that holds the secret, the secret)."""
    hexadecimal, upper = "0123456789abcdef", string.ascii_uppercase + string.digits
    word = [drawn(14) for _ in range(6)]
    tokens = {
        "aws": "AKIA" + drawn(16, upper),
        "github": "ghp_" + drawn(36),
        "gitlab": "glpat-" + drawn(20),
        "slack": "xoxb-" + drawn(24),
        "stripe": "sk_live_" + drawn(24),
        "openai": "sk-" + drawn(40),
        "google": "AIza" + drawn(35),
        "hugging face": "hf_" + drawn(34),
        "npm": "npm_" + drawn(36),
        "pypi": "pypi-" + drawn(40),
        "prefect": "pnu_" + drawn(36),
        "databricks": "dapi" + drawn(32, hexadecimal),
        "jwt": f"eyJ{drawn(20)}.eyJ{drawn(30)}.{drawn(40)}",
        "vault": "hvs." + drawn(24),
    }
    found = {kind: (token, token) for kind, token in tokens.items()}
    return found | {
        "password": (f"password={word[0]}", word[0]),
        "database": (f"postgresql://user:{word[1]}@db.example.org/x", word[1]),
        "url": (f"https://user:{word[2]}@example.org/x", word[2]),
        "bearer": (f"Authorization: Bearer {word[3]}", word[3]),
        "cookie": (f"webauthn={word[4]}", word[4]),
        "named": (f"api_key: {word[5]}", word[5]),
    }


def files_below(home: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(home, followlinks=True):
        for name in names:
            path = Path(folder) / name
            if name not in OWN_SECRETS and path.suffix not in (".pem", ".key") and path.is_file():
                yield path


@pytest.mark.parametrize("failing", [False, True])
def test_no_secret_is_written_down(
    ml: DerivaML, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    failing: bool,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG, logger="deriva_ml_prefect")
    places: dict[str, dict[str, tuple[str, str]]] = {
        place: planted() for place in ("environment", "argv", "choices", "diff", "url", "error", "message")
    }
    assert all(len(kinds) == 20 for kinds in places.values())
    for number, (text, secret) in enumerate(places["environment"].values()):
        monkeypatch.setenv(f"DERIVA_ML_NOTE_{number}", text)
        monkeypatch.setenv(f"SERVICE_{number}_TOKEN", secret)
    code = tmp_path / "train.py"
    code.write_text("".join(f"# {text}\n" for text, _ in places["diff"].values()))
    spec = ExecutionSpec(
        description="what its author wrote",
        argv=["train.py", *(text for text, _ in places["argv"].values())],
        config_choices={f"group{n}": text for n, (text, _) in enumerate(places["choices"].values())},
    )
    database = places["url"]["url"][0]
    monkeypatch.chdir(tmp_path)
    logging.getLogger("train").info("user's own: %s", places["message"]["github"][0])
    workflow = Workflow(
        name="Secrets", workflow_type=["Training"], url=code.as_uri(), checksum=drawn(40, "0123456789abcdef")
    )
    exe = ml.create_execution(spec, workflow=workflow)
    fetched = Workflow(name="S", workflow_type=["Training"], url=database, checksum=drawn(40, "0123456789abcdef"))
    ml.add_workflow(fetched)
    caplog.clear()
    shown = "\n".join(text for text, _ in places["message"].values())
    exe.execution_start()
    exe.update_status("Running", shown)
    exe.execution_stop() if not failing else None
    if failing:
        again = ml.create_execution(spec, workflow=workflow)
        with pytest.raises(RuntimeError), again:
            raise RuntimeError("\n".join(text for text, _ in places["error"].values()))
        again.upload_execution_outputs(clean_folder=False)
    exe.upload_execution_outputs(clean_folder=False)

    wanted = {
        secret.encode(): f"{kind} of {place}" for place, kinds in places.items() for kind, (_, secret) in kinds.items()
    }
    marked = set()
    for path in files_below(home):
        data = path.read_bytes()
        if b"<secret:hmac:" in data:
            marked.add("objects" if "objects" in path.parts else path.name)
        found = [name for secret, name in wanted.items() if secret in data]
        assert not found, f"{path}: {found}"
    # configuration, diff and environment are there, with digests in the place of secrets
    assert marked >= {"objects", "uncommitted.diff", "configuration.json"}
    log = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("deriva_ml"))
    assert not [name for secret, name in wanted.items() if secret.decode() in log]
