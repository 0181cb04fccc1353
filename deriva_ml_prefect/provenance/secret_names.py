"""Which names announce a secret: of environment variables, options, keys of a configuration, columns.

A name is taken apart into words (`apiToken`, `API_TOKEN` and `api-token` are the same two), and only the last part of a
dotted name counts as well as the whole. Words that machine learning uses otherwise (`max_tokens`, `pad_token`,
`sort_key`, `forward_pass`) are known.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def _list(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STRONG = _list("""
    password passwd passphrase passcode pswd secret credential apikey accesskey secretkey privatekey authtoken
    accesstoken refreshtoken bearertoken apitoken authkey sharedkey accountkey connectionstring webhookurl
    kennwort passwort sessionid sessiontoken sessionkey
""")
"""Found anywhere in the name without its separators."""

_WORDS = _list("""
    pwd psw pw auth authorization authentication jwt cookie cookies dsn sas otp totp mfa salt pepper
    nonce sig signature sid netrc pgpass creds cred psk webauthn csrf xsrf keytab htpasswd
""")
"""Whole words, when the value is text."""

_STRONG_WORDS = _list("""
    pwd pw pass psw pin otp psk creds cred jwt pat
""")

_TOKEN_USE = _list("""
    pad eos bos unk mask cls sep special start end stop prompt image vocab class max min num n count counts
    limit per size length len ids type types embedding embeddings dim level budget ratio dropout classification
    classifier mixing patch register
""")
"""Beside `token`, these say that it is a piece of text and no key."""

_KEY_QUALIFIERS = _list("""
    api access private secret encryption encrypt signing sign auth account storage master ssh gpg pgp hmac
    service deploy license licence shared consumer app application client subscription tls ssl rsa aes fernet
    session crypto cipher host publish admin root server wandb openai anthropic hf huggingface comet neptune
    google azure aws stripe sendgrid twilio datadog dd sentry mailgun kaggle cohere mistral groq gemini x
""")
"""Before `key`, these say that it opens something."""

_BENIGN_PASS = _list("""
    n num first second third one two single forward backward max through multi low high band filter rate test
    tests
""")

_PATH_WORDS = frozenset(
    {"file", "path", "dir", "directory", "folder", "sock", "socket", "filename", "home", "credentials"}
)

_BENIGN_VALUES = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1", "~", "nil"})

_NEVER = frozenset({"PWD", "OLDPWD", "XDG_SESSION_ID", "XDG_SESSION_TYPE", "XDG_SESSION_CLASS", "XDG_SESSION_DESKTOP",
                    "DESKTOP_SESSION", "JPY_SESSION_NAME", "LOGNAME"})  # fmt: skip
"""Variables that a system sets for other purposes."""


def is_secret_name(name: str) -> bool:
    """Whether text under this name is a secret, unless it is plainly no value (`true`, empty)."""
    if name in _NEVER:
        return False
    return any(_secret_part(part) for part in {name, name.rpartition(".")[2], name.rpartition("/")[2]} if part)


def is_strong_secret_name(name: str) -> bool:
    """Whether even a number, a list or a mapping under this name is secret: `password`, `credentials`, `pin`."""
    if name in _NEVER:
        return False
    words = _words(name)
    joined = "".join(words)
    if any(strong in joined for strong in _STRONG):
        return True
    return bool(words) and words[-1] in _STRONG_WORDS and is_secret_name(name)


def is_path_name(name: str) -> bool:
    """Whether the name says that its value is the place of a secret rather than the secret."""
    words = _words(name)
    return bool(words) and words[-1] in _PATH_WORDS


def is_benign_value(text: str) -> bool:
    """Whether the text cannot be a secret: a switch, or nothing."""
    return text.strip().lower() in _BENIGN_VALUES


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _secret_part(name: str) -> bool:
    words = _words(name)
    joined = "".join(words)
    if any(strong in joined for strong in _STRONG):
        return True
    if not words:
        return False
    if words[-1] == "pass" or (len(words) > 1 and words[0] == "pass"):
        return not _BENIGN_PASS & set(words)
    if _WORDS & set(words) or words[-1] in _STRONG_WORDS:
        return True
    if "token" in words or "tokens" in words or joined.endswith(("token", "tokens")):
        return not _TOKEN_USE & set(words)
    if "key" in words or "keys" in words:
        return bool(_KEY_QUALIFIERS & set(words))
    return joined.endswith("apikey")
