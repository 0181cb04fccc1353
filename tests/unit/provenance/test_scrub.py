"""Secrets of many kinds, planted where a run records something: none may be found afterwards."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from pydantic import BaseModel, SecretStr

from deriva_ml_prefect.provenance.scrub import MARKER, Scrubber, looks_secret, make_scrubber

KEY = b"0123456789abcdef0123456789abcdef"

PRIVATE_KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\nAAAAtzc2gtZWQ\n-----END OPENSSH PRIVATE KEY-----"
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFO"

SHAPED = {
    "aws id": "AKIAIOSFODNN7EXAMPLE",
    "aws secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "github": "ghp_" + "a1B2c3D4e5" * 4,
    "github fine": "github_pat_11ABCDEFG0_abcdefghijklmnopqrstuv",
    "gitlab": "glpat-xY12ab34CD56ef78GH90",
    "slack": "xoxb-1234567890-abcdefghij",
    "slack hook": "https://hooks.slack.com/services/T000/B000/XXXXsecretXXXX",
    "stripe": "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "openai": "sk-proj-abcdEFGH1234ijklMNOP5678",
    "google": "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "hugging face": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "npm": "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "pypi": "pypi-AgEIcHlwaS5vcmcCJDU3YjQ0",
    "jwt": JWT,
    "pem": PRIVATE_KEY,
    "telegram": "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
    "sendgrid": "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",
    "prefect": "pnu_abcDEF0123456789ghiJKL",
    "vault": "hvs.CAESIJ1abcdefghijklmnopqrstu",
    "random": "Zx8Qw3Lm9Tr2Vb6Nk1Ys5Hd7Gf4Jc0Pa",
    "databricks": "dapi1234567890abcdef1234567890abcdef",
}

EMBEDDED = {
    "url": ("https://alice:hunter2xyz@host.example/x", "hunter2xyz"),
    "tuple": ("+user, passwd = 'me', 'hunter8'  # both", "hunter8"),
    "tuple of double quotes": ('host, api_token, port = "h", "wxyz1", 80', "wxyz1"),
    "url token": ("git+https://a1b2c3d4e5f6@git.example/r.git", "a1b2c3d4e5f6"),
    "database": ("postgresql+psycopg2://u:p/ss@w0rd!@db:5432/x", "p/ss@w0rd!"),
    "mongo": ("mongodb+srv://admin:letmein99@cluster0.example.net/db", "letmein99"),
    "redis": ("redis://:s3cr3tpass@cache:6379/0", "s3cr3tpass"),
    "bearer": ("Authorization: Bearer abcdefghijk", "abcdefghijk"),
    "bearer free": ("curl -H 'X: bearer q1w2e3r4t5'", "q1w2e3r4t5"),
    "basic": ("Authorization: Basic YWxpY2U6aHVudGVyMg==", "YWxpY2U6aHVudGVyMg"),
    "cookie": ("Cookie: webauthn=f00barbaz; other=1", "f00barbaz"),
    "ado": ("Server=db;Database=x;User Id=sa;Password=Pa ss;word;Encrypt=yes", "Pa ss"),
    "azure": ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9vYmFyYmF6==;x=y", "Zm9vYmFyYmF6"),
    "sas": ("https://a.blob.example/c?sv=2022&sig=abc%2Fdef%3D", "abc%2Fdef"),
    "query": ("https://x.example/?api_key=qwertyuiop&page=2", "qwertyuiop"),
    "yaml": ("db:\n  password: correct horse battery\n  port: 1", "correct horse battery"),
    "yaml block": ("private_key: |\n  line one is secret\n  line two too\nnext: 1", "line two too"),
    "json": ('{"a": [{"apiKey": "opensesame"}]}', "opensesame"),
    "json escaped": (r'--cfg "{\"token\": \"opensesame\"}"', "opensesame"),
    "python repr": ("{'db_password': 'opensesame', 'n': 1}", "opensesame"),
    "line end spelled out": (r"ValueError('read:\npassword=opensesame\t1')", "opensesame"),
    "bearer after a spelled line end": (r"'x\nBearer q1w2e3r4t5'", "q1w2e3r4t5"),
    "env file": ("export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567", "0123456789abcdef0123456789"),
    "netrc": ("machine api.example login bob password swordfish", "swordfish"),
    "shell": ("mysql --password 'open sesame' db", "open sesame"),
    "unclosed": ('token: "opensesame and more', "opensesame and more"),
    "xml": ("<password>opensesame</password>", "opensesame"),
    "traceback": ("ValueError: token='opensesame' refused", "opensesame"),
}

HARMLESS = [
    "https://github.com/lab/repo/blob/9fceb02d0ae598e95dc970b74767f19372d61af8/src/train.py",
    "git@github.com:lab/repo",
    "ssh://git@github.com/lab/repo",
    "https://host.example/id/1/1-ABCD@2PX-WS30-E58W",
    "https://host.example:8443/id/1/1-ABCD@2PX-WS30-E58W",
    "2PX-WS30-E58W",
    "d41d8cd98f00b204e9800998ecf8427e",
    "1B2M2Y8AsgTpgAmY7PhCfg==",
    "550e8400-e29b-41d4-a716-446655440000",
    "/home/alice/Projects/ResNet50_FineTuning_2026/checkpoints/epoch_0012_valLoss_0.3142.pt",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "model_config=quick model_config.epochs=5",
    "Basic ResNet training with the Token embedding, bearer of news: see chapter 3.",
    "TF_ENABLE_ONEDNN_OPTS=0",
    "RetinalImageClassificationWithAttentionAndDropoutLayers",
    "Image/3f2b8c1e-9d4a-4c55-8f0e-1a2b3c4d5e6f.png: it was registered but never written",
    "Image/Scan-3F2B8C1E-9D4A-4c55-8f0e-1a2b3c4d5e6f_v2.png",
    "Image/scan_3f2b8c1e9d4a4c558f0e1a2b3c4d5e6f.png",
    "Model/epoch=12-step=4000-3f2b8c1e9d4a4c558f0e1a2b3c4d5e6f.ckpt",
    "File Image/9fceb02d0ae598e95dc970b74767f19372d61af8 was changed after it was sealed",
    "learning_rate: 0.001\ntokenizer: bert-base-uncased\nmax_tokens: 512\nsort_key: Name",
]


@pytest.fixture
def scrubber() -> Scrubber:
    return make_scrubber(KEY, {})


@pytest.mark.parametrize("secret", SHAPED.values(), ids=SHAPED.keys())
def test_shaped_secrets_are_found_wherever_they_stand(scrubber: Scrubber, secret: str) -> None:
    tail = secret.splitlines()[1] if "\n" in secret else secret.rpartition("/services/")[2][-12:]
    for text in (secret, f"the run used {secret} today", json.dumps({"note": [secret]})):
        assert tail not in scrubber.text(text)
    for written in (f"first\n{secret}\tlast", f"a\r\n{secret}"):
        for text in (repr(KeyError(written)), f"it says {json.dumps(written)}", repr(repr(written))):
            assert tail not in scrubber.text(text)
            assert tail not in scrubber.prose(text)
            assert scrubber.text(scrubber.text(text)) == scrubber.text(text)
    assert tail not in json.dumps(scrubber.mapping({"note": {"deep": [secret, {secret: 1}]}}))
    assert tail not in " ".join(scrubber.argv(["train.py", secret, f"--note={secret}", f"+x.y={secret}"]))
    assert looks_secret(None, secret)


@pytest.mark.parametrize(("text", "secret"), EMBEDDED.values(), ids=EMBEDDED.keys())
def test_secrets_inside_texts_are_taken_out_and_the_rest_stays(scrubber: Scrubber, text: str, secret: str) -> None:
    clean = scrubber.text(text)
    assert secret not in clean
    assert MARKER.search(clean)
    assert scrubber.text(clean) == clean
    assert secret not in " ".join(scrubber.argv(["x", text]))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays_as_it_is(scrubber: Scrubber, text: str) -> None:
    assert scrubber.text(text) == text
    assert scrubber.argv([text]) == [text]
    assert not looks_secret("note", text)


@pytest.mark.parametrize(
    "name",
    ["password", "DB_PASSWD", "pwd", "apiKey", "x-api-key", "client_secret", "AWS_SECRET_ACCESS_KEY", "githubToken",
     "PGPASSWORD", "model.auth", "smtp_pass", "SESSION_COOKIE", "sentry_dsn", "private-key", "db.connection_string",
     "OAUTH_TOKEN", "GH_PAT"],
)  # fmt: skip
def test_names_hide_values(scrubber: Scrubber, name: str) -> None:
    assert looks_secret(name, "opensesame")
    assert "opensesame" not in json.dumps(scrubber.mapping({name: "opensesame", "list": [{name: ["opensesame"]}]}))
    for argv in (
        [f"--{name}", "opensesame"],
        [f"--{name}=opensesame"],
        [f"+{name}=opensesame"],
        ["-p", name, "opensesame"],
    ):
        clean = scrubber.argv(["run", *argv, "epochs=5"])
        assert "opensesame" not in " ".join(clean), argv
        assert clean[-1] == "epochs=5"


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_tokens", 512), ("pad_token", "<pad>"), ("sort_key", "Name"), ("PWD", "/home/alice"), ("tokenizer", "bert"),
     ("num_passes", 3), ("key", "label"), ("forward_pass", "fast"), ("password", None), ("use_token", False),
     ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/key.json"), ("SSH_AUTH_SOCK", "/tmp/agent.1"), ("pin_memory", True),
     ("foreign_key", "Image"), ("Author", "Alice"), ("seed", 20261123)],
)  # fmt: skip
def test_names_of_machine_learning_hide_nothing(scrubber: Scrubber, name: str, value: object) -> None:
    assert not looks_secret(name, value)
    assert scrubber.mapping({name: value}) == {name: value}


def test_strong_names_hide_numbers_and_everything_below(scrubber: Scrubber) -> None:
    clean = scrubber.mapping({"credentials": {"user": "alice1", "id": 987654}, "pin": 4711, "password": 12345678})
    text = json.dumps(clean)
    assert not any(secret in text for secret in ("alice1", "987654", "4711", "12345678"))


def test_values_of_secret_variables_are_found_everywhere_in_every_spelling() -> None:
    secret = 'plain words & "quotes"'
    scrubber = make_scrubber(
        KEY, {"DB_PASSWORD": secret, "PATH": "/usr/bin:/bin", "USE_TOKEN": "true"}, secrets=["vault-entry"]
    )
    encoded = base64.b64encode(secret.encode()).decode()
    for form in (secret, quote(secret), encoded, json.dumps(secret)):
        assert form not in scrubber.text(f"it was {form}.")
    assert "vault-entry" not in scrubber.argv(["go", "vault-entry"])[1]
    assert scrubber.text("/usr/bin:/bin true") == "/usr/bin:/bin true"


def test_digests_tell_equal_from_different_and_need_the_key() -> None:
    one, other = make_scrubber(KEY, {}), make_scrubber(KEY[::-1], {})
    assert one.digest("a-secret") == one.digest("a-secret") != one.digest("b-secret")
    assert one.digest("a-secret") != other.digest("a-secret")
    assert "a-secret" not in repr(make_scrubber(KEY, {"TOKEN": "a-secret"}))
    with pytest.raises(ValueError, match="16 random"):
        make_scrubber(b"short", {})


def test_secret_objects_models_and_bytes(scrubber: Scrubber) -> None:
    class Login(BaseModel):
        user: str
        entry: SecretStr

    clean = scrubber.mapping({"login": Login(user="alice", entry=SecretStr("opensesame")), "raw": b"opensesame"})
    assert "opensesame" not in json.dumps(clean)
    assert clean["login"]["user"] == "alice"


def test_option_values_do_not_swallow_the_next_option(scrubber: Scrubber) -> None:
    assert scrubber.argv(["x", "--no-token", "--epochs", "3"]) == ["x", "--no-token", "--epochs", "3"]
    clean = scrubber.argv(["curl", "-u", "alice:opensesame", "https://x.example"])
    assert clean[0] == "curl"
    assert clean[3] == "https://x.example"
    assert "opensesame" not in clean[2]


def test_deep_and_cyclic_values_end(scrubber: Scrubber) -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop
    assert "again" in scrubber.mapping(loop)


@pytest.mark.parametrize(
    "text",
    [
        "Fine-tune ResNet50: learning rate 0.001, max_tokens=512",
        "token: word level, password: see the wiki, auth: disabled",
        '{"note": "left as it is"',
        "Key: Value\n\n| secret | santa |",
        "password: v2",
    ],
)
def test_prose_stays_as_it_was_written(scrubber: Scrubber, text: str) -> None:
    assert scrubber.prose(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Run with password=Tr0ub4dor and go", "Tr0ub4dor"),
        ("fetched from https://me:hunter2hunter@example.org/x", "hunter2hunter"),
        ("api_key: aB3dE5gH7jK9mN", "aB3dE5gH7jK9mN"),
        ("with ghp_abcdefghijklmnopqrstuvwxyz0123456789 set", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        ('{"token": "s3cr3tvalue"}', "s3cr3tvalue"),
    ],
)
def test_secrets_in_prose_are_taken_out(scrubber: Scrubber, text: str, secret: str) -> None:
    clean = scrubber.prose(text)
    assert secret not in clean
    assert "<secret:hmac:" in clean
    assert scrubber.prose(clean) == clean
