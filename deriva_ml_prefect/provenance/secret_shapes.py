"""What secrets look like wherever they stand: keys of services, tokens, private keys, URLs with credentials.

Each shape is a pattern and the group in it that is the secret; what surrounds it stays readable. Checksums, Git object
ids, UUIDs, RIDs, paths and URLs without credentials match none of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Shape:
    name: str
    pattern: re.Pattern[str]
    group: int = 0
    """The group that is taken out; 0: all of it."""


def _shape(name: str, pattern: str, group: int = 0, flags: int = 0) -> Shape:
    return Shape(name, re.compile(pattern, flags), group)


_EDGE = r"(?<![A-Za-z0-9])"
_FLAGS = re.DOTALL | re.IGNORECASE
_DATABASES = (
    r"postgres\w*|mysql\w*|mariadb\w*|mongodb|rediss?|amqps?|mssql|oracle|clickhouse|snowflake|cockroachdb|ldaps?|mqtts?"
    r"|kafka|nats"
)

_PREFIXED = (
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|AIPA|ABIA|ACCA)[A-Z0-9]{12,}",  # AWS
    r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*",  # JWT
    r"gh[pousr]_[A-Za-z0-9]{16,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{16,}",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_.\-]{12,}",  # GitLab
    r"(?:xox[a-z]-|xapp-|xoxe\.)[A-Za-z0-9.\-]{8,}",  # Slack
    r"(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{8,}",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{8,}",
    r"sk-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic and others
    r"AIza[A-Za-z0-9_-]{20,}",  # Google
    r"ya29\.[A-Za-z0-9_.-]{10,}",
    r"GOCSPX-[A-Za-z0-9_-]{10,}",
    r"1//0[A-Za-z0-9_-]{20,}",
    r"(?:hf|api_org)_[A-Za-z0-9]{16,}",  # Hugging Face
    r"npm_[A-Za-z0-9]{20,}",
    r"pypi-[A-Za-z0-9_-]{20,}",
    r"rubygems_[a-f0-9]{20,}",
    r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{12,}",
    r"(?:pnu|pnb|pnp)_[A-Za-z0-9]{12,}",  # Prefect
    r"do[orp]_v1_[a-f0-9]{20,}",  # DigitalOcean
    r"dapi[a-f0-9]{28,}",  # Databricks
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.\-]{16,}",  # Doppler
    r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{20,}",  # Shopify
    r"SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # SendGrid
    r"key-[a-f0-9]{32}",  # Mailgun
    r"NRAK-[A-Z0-9]{20,}",  # New Relic
    r"sntry[su]_[A-Za-z0-9+/=_-]{20,}",  # Sentry
    r"lin_api_[A-Za-z0-9]{20,}",  # Linear
    r"(?:secret|ntn)_[A-Za-z0-9]{30,}",  # Notion
    r"PMAK-[a-f0-9]{20,}[a-f0-9-]*",  # Postman
    r"FlyV1 \S+",
    r"glsa_[A-Za-z0-9_]{20,}",  # Grafana
    r"wandb_v1_[A-Za-z0-9_-]{16,}",
    r"pat[A-Za-z0-9]{14}\.[a-f0-9]{40,}",  # Airtable
    r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{20,}",  # Square
    r"EAA[A-Za-z0-9]{40,}",  # Facebook
    r"hv[sbr]\.[A-Za-z0-9_-]{20,}",  # Vault
    r"(?:SK|AC)[a-f0-9]{32}(?![a-f0-9])",  # Twilio
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
)
"""Tokens that begin with a mark of who gave them out."""

SHAPES: tuple[Shape, ...] = (
    _shape(
        "private key",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)",
        0,
        re.DOTALL,
    ),
    _shape("PuTTY key", r"PuTTY-User-Key-File-\d.*\Z", 0, re.DOTALL),
    _shape("service token", _EDGE + "(?:" + "|".join(_PREFIXED) + ")"),
    _shape(
        "webhook", r"(?:hooks\.slack\.com/|discord(?:app)?\.com/api/webhooks/|\.webhook\.office\.com/)([^\s\"'<>]+)", 1
    ),
    _shape("Telegram", r"(?<!\d)\d{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _shape("Azure", r"\b(?:AccountKey|SharedAccessKey|SharedAccessSignature|sig)=([^;&\s\"']+)", 1, _FLAGS),
    _shape("Azure AD", r"(?<![A-Za-z0-9_~.\-])[A-Za-z0-9_~.\-]{3}\dQ~[A-Za-z0-9_~.\-]{20,}"),
    _shape(
        "connection string",
        r"\b(?:Password|Pwd)\s*=\s*(\"[^\"]*\"|'[^']*'|\{[^}]*\}|[^;\"'\s][^;\"'\n]*)(?=[;\"'\n]|\Z)",
        1,
        _FLAGS,
    ),
    _shape(
        "database URL",
        rf"\b(?:{_DATABASES})(?:\+[\w+]{{1,30}})?://[^\s:@/\"']{{0,200}}:([^\s\"']{{1,2000}})@",
        1,
        _FLAGS,
    ),
    _shape(
        "URL with password",
        r"(?<![a-z0-9+.\-])[a-z][a-z0-9+.\-]{0,30}:\\?/\\?/"
        r"[^\s:@/?#\\\"'<>]{0,200}:([^\s/?#\\\"'<>]{1,2000})@",
        1,
        _FLAGS,
    ),
    _shape(
        "URL with token",
        r"(?:https?|ftps?|wss?|git\+https?)://(?!(?:git|hg|svn|anonymous)@)([^\s:@/?#\"'<>]{1,500})@",
        1,
        _FLAGS,
    ),
    _shape("bearer", r"\bbearer[\s:=\"']+([A-Za-z0-9._~+/\-]{6,}=*)", 1, _FLAGS),
    _shape(
        "authorization scheme",
        r"\b(?:Basic|Negotiate|Digest|ApiKey)\s+(?=[A-Za-z0-9+/._\-]{0,2000}[0-9=+/A-Z])([A-Za-z0-9+/._\-]{8,2000}={0,2})",
        1,
    ),
    _shape("DERIVA cookie", r"\bwebauthn(?:[_-]\w+)?[=:\s\"']+([^\s;\"',}]{6,})", 1, _FLAGS),
    _shape("netrc", r"\bmachine\s+\S{1,200}\s+login\s+\S{1,200}\s+password\s+(\S+)", 1, _FLAGS),
)

_HEX = re.compile(r"(?:[0-9a-f]+|[0-9A-F]+|[0-9a-f-]{36}|[0-9A-F-]{36})")
_UUID = re.compile(r"(?<![A-Za-z0-9])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![A-Za-z0-9])", re.IGNORECASE)
_CHECKSUM = re.compile(r"(?<![A-Za-z0-9])(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?![A-Za-z0-9])")
_CLASSES = (str.islower, str.isupper, str.isdigit)


def looks_random(token: str) -> bool:
    """Whether a token of 32 characters or more looks drawn at random: letters of both cases and digits, well mixed.

    Hexadecimal tokens (checksums, object ids, UUIDs) do not count, nor do paths and names made of words, nor UUIDs in a
    longer name, nor checksums in the name of a file that stands with its folder or table (`Image/scan_<md5>`). Of 40
    characters, the length of AWS's secret keys, less is asked.
    """
    body = _UUID.sub("", token).rstrip("=").lstrip("-")
    if "/" in body:
        body = _CHECKSUM.sub("", body)
    if len(body) < 32 or _HEX.fullmatch(body) or token.startswith(("/", "./", "../")):
        return False
    if not all(any(test(c) for c in body) for test in _CLASSES):
        return False
    kinds = ["l" if c.islower() else "u" if c.isupper() else "d" if c.isdigit() else "s" for c in body]
    changes = sum(a != b for a, b in pairwise(kinds)) / (len(kinds) - 1)
    words = sum(len(run) >= 5 for run in re.findall(r"[a-z]+", body))
    return (
        changes >= (0.25 if len(token) == 40 else 0.38)
        and words <= len(body) // 24
        and kinds.count("s") <= len(body) // 8
    )
