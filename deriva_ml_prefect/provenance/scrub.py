"""Takes secrets out of what is going to be recorded, leaving a keyed digest in the place of each.

Three nets, each of which catches alone:
  names   a value that stands under a name such as `password`, `apiToken` or `--secret-key` (`secret_names`);
  shapes  a value that looks like a secret wherever it stands: keys of known services, JWT, private keys, URLs with
          credentials, bearer headers, connection strings, long random tokens (`secret_shapes`);
  known   every value that stands under a secret name in the environment, found again anywhere else, also URL-quoted,
          base64- or JSON-encoded.

The digest is an HMAC under a random key that the caller keeps (one an installation), so equal secrets can be seen to be
equal, and nobody without the key can try guesses against it: `<secret:hmac:0123456789abcdef>`. Scrubbing twice changes
nothing. When in doubt a value is taken out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from deriva_ml_prefect.provenance.secret_names import (
    is_benign_value,
    is_path_name,
    is_secret_name,
    is_strong_secret_name,
)
from deriva_ml_prefect.provenance.secret_shapes import SHAPES, looks_random

MARKER = re.compile(r"<secret:hmac:[0-9a-f]{16}>")
LEAST_KEY = 16
"""Bytes of a key of the digests, at least."""
_MIN_KNOWN = 6
_MAX_DEPTH = 64

_OPTION = re.compile(r"(--?|\+{1,2}|~)?([A-Za-z_][\w.\-/@]*)(=)(.*)", re.DOTALL)
_FLAG = re.compile(r"--?([A-Za-z][\w.\-]*)")
_NAMED_VALUE_FLAGS = frozenset({"-p", "--parameter", "--parameters", "-r", "-y", "-e", "--env", "-D", "--set"})
_CREDENTIAL_FLAGS = frozenset({"-u", "--user", "--proxy-user", "-U"})

_NAME = r"[A-Za-z_][\w.\-]{0,100}"
_NAME_IN_TEXT = re.compile(
    rf"""(?<![\w.\-])(?!secret:hmac:[0-9a-f]{{16}}>)
         (?:(?P<q>\\?["']?)(?P<name>{_NAME}|[A-Za-z]+(?:[ ][A-Za-z]+){{0,2}})(?P=q)\s*(?::=|=>|[=:])\s*
           |--?(?P<flag>[A-Za-z][\w.\-]*)[ \t]+(?!-)
           |<(?P<tag>{_NAME})>\s*)""",
    re.VERBOSE,
)
_VALUE_IN_TEXT = re.compile(
    r"""\\"(?P<escaped>(?:[^"\\]|\\(?!"))*)\\"
        |"(?P<double>(?:[^"\\]|\\.)*)"
        |'(?P<single>(?:[^'\\]|\\.)*)'
        |(?P<bare>(?:(?![&;,]\s*["']?[A-Za-z_][\w .\-]*["']?\s*[=:])[^\s"'<\\]|\\(?!["']))+)
        |\\?["'](?P<open>[^\n]+)""",
    re.VERBOSE,
)
_YAML_LINE = re.compile(rf"(?P<head>[ \t]*(?:-[ \t]+)?[\"']?(?P<name>{_NAME})[\"']?[ \t]*:[ \t]+)(?P<value>\S.*)")
_SPELLED_END = re.compile(r"(\\+[nrt])")
_TUPLE = re.compile(
    r"""^(?P<head>[-+ \t]*(?P<names>[A-Za-z_]\w*(?:[ \t]*,[ \t]*[A-Za-z_]\w*){1,20})[ \t]*=(?!=)[ \t]*)"""
    r"""(?P<values>.*["'].*)$""",
    re.MULTILINE,
)
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'")
_HEADER = re.compile(
    r"(?P<head>\b(?:Proxy-)?Authorization[\"']?\s*[:=]\s*[\"']?)(?P<value>(?:[A-Za-z]+\s+)?[^\s\"',;]+)"
    r"|(?P<head2>\b(?:Set-)?Cookie[\"']?\s*:\s*[\"']?)(?P<value2>[^\r\n\"']+)",
    re.IGNORECASE,
)


def looks_secret(name: str | None, value: object) -> bool:
    """Whether `value`, standing under `name`, must not be written down as it is. Anything found inside counts."""
    if value is None or isinstance(value, bool):
        return False
    if name is not None and _hidden_by_name(name, value):
        return True
    return isinstance(value, str) and Scrubber(b"probe").text(value) != value


@dataclass(frozen=True)
class Scrubber:
    """Replaces secrets in values; holds the key of the digests and the secrets that are known by value."""

    key: bytes = field(repr=False)
    known: tuple[str, ...] = field(default=(), repr=False)
    """Secrets that are taken out wherever they occur, longest first."""
    shown: Set[str] = field(default=frozenset(), repr=False)
    """What `parts_of_name` gave of names that stay though they look drawn at random; no other net lets them through."""

    def digest(self, secret: str) -> str:
        """What stands in the place of `secret`."""
        if MARKER.fullmatch(secret):
            return secret
        mac = hmac.new(self.key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"<secret:hmac:{mac[:16]}>"

    def value(self, name: str | None, value: Any) -> Any:
        """`value` as JSON-able data without secrets; `name` is the name that it stands under, if any."""
        return self._value(name, value, hidden=False, depth=0)

    def mapping(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """A mapping of any depth, without secrets."""
        result = self.value(None, values)
        assert isinstance(result, dict)
        return result

    def text(self, text: str) -> str:
        """A text of any length without secrets. JSON is read as such, and written anew only if needed."""
        if text.lstrip()[:1] in ("{", "["):
            try:
                document = json.loads(text)
            except (ValueError, RecursionError):
                return self._lines(text)
            clean = self.value(None, document)
            return text if clean == document else json.dumps(clean, ensure_ascii=False, indent=1)
        return self._lines(text)

    def prose(self, text: str) -> str:
        """A sentence for people without secrets. Words after a name (`token: word level`) stay if they look like words.

        It is read as prose whatever it begins with, so everything else in it is left as its author wrote it.
        """
        return self._pieces(text, self._prose)

    def _prose(self, text: str) -> str:
        text = self._shapes(self._known(text))
        return self._random(self._named(text, only=_is_no_word))

    def argv(self, arguments: Sequence[str]) -> list[str]:
        """A command line without secrets: `--token X`, `--token=X`, `-p token X`, `group.token=X`, headers, URLs."""
        clean: list[str] = []
        hide_next = name_next = False
        name_of_next: str | None = None
        for argument in arguments:
            flag = _FLAG.fullmatch(argument)
            if hide_next and not (flag and argument.startswith("--")):
                clean.append(self.digest(argument))
                hide_next = False
                continue
            hide_next = False
            if name_of_next is not None:
                clean.append(str(self.value(name_of_next, argument)))
                name_of_next = None
                continue
            if name_next and "=" not in argument:
                clean.append(self.text(argument))
                name_next, name_of_next = False, argument
                continue
            name_next = False
            clean.append(self._argument(argument))
            if argument in _CREDENTIAL_FLAGS or (flag and is_secret_name(flag.group(1))):
                hide_next = True
            name_next = argument in _NAMED_VALUE_FLAGS
        return clean

    def _argument(self, argument: str) -> str:
        option = _OPTION.fullmatch(argument)
        if option is None:
            return self.text(argument)
        dashes, name, equals, value = option.group(1) or "", *option.group(2, 3, 4)
        if _hidden_by_name(name, value) or dashes + name in _CREDENTIAL_FLAGS:
            return f"{dashes}{name}{equals}{self.digest(value)}"
        return f"{dashes}{self._known(name)}{equals}{self.text(value)}"

    def _value(self, name: str | None, value: Any, *, hidden: bool, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if depth > _MAX_DEPTH:
            return self.digest(repr(type(value)))
        if hasattr(value, "get_secret_value"):
            return self.digest(str(value.get_secret_value()))
        if hasattr(value, "model_dump"):
            value = value.model_dump()
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): self._value(
                    str(key), item, hidden=hidden or _hides_below(str(key), item), depth=depth + 1
                )
                for key, item in value.items()
            }
        if isinstance(value, (Sequence, Set)) and not isinstance(value, (str, bytes, bytearray)):
            return [self._value(name, item, hidden=hidden, depth=depth + 1) for item in value]
        if isinstance(value, (bytes, bytearray)):
            return self.digest(bytes(value).decode("utf-8", "surrogateescape"))
        if hidden or (name is not None and _hidden_by_name(name, value)):
            return self.digest(str(value))
        if isinstance(value, (int, float)):
            return self.digest(str(value)) if str(value) in self.known else value
        return self.text(value if isinstance(value, str) else str(value))

    def _pieces(self, text: str, clean: Callable[[str], str]) -> str:
        """All of it, and then what stands between line ends that are spelled out, as in the `repr` of a text.

        Their letter would pass for the beginning of a secret's name or mark, which is then not known any more.
        """
        text = clean(text)
        pieces = _SPELLED_END.split(text)
        return text if len(pieces) == 1 else "".join(map(clean, pieces))

    def _lines(self, text: str) -> str:
        return self._pieces(text, self._each_line)

    def _each_line(self, text: str) -> str:
        text = _TUPLE.sub(self._tuple, _HEADER.sub(self._header, self._shapes(self._known(text))))
        if "\n" in text or ": " in text:
            text = self._yaml(text)
        return self._random(self._named(text))

    def _shapes(self, text: str) -> str:
        for shape in SHAPES:
            text = shape.pattern.sub(lambda m, group=shape.group: self._group(m, group), text)  # type: ignore[misc]
        return text

    def _random(self, text: str) -> str:
        return _TOKEN.sub(lambda m: self.digest(m.group()) if self._is_random(m.group()) else m.group(), text)

    def _is_random(self, token: str) -> bool:
        folder, _, name = token.rpartition("/")
        return looks_random(folder if name in self.shown else token)

    def _known(self, text: str) -> str:
        for secret in self.known:
            if secret in text:
                text = text.replace(secret, self.digest(secret))
        return text

    def _group(self, match: re.Match[str], group: int) -> str:
        secret = match.group(group)
        if not secret or MARKER.search(secret):
            return match.group()
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return match.group()[:start] + self.digest(secret) + match.group()[end:]

    def _tuple(self, match: re.Match[str]) -> str:
        """`user, password = "me", "x"`: every quoted value, since any of them may be the one."""
        if not any(is_secret_name(name) for name in re.split(r"[ \t]*,[ \t]*", match["names"])):
            return match.group()
        return match["head"] + _QUOTED.sub(self._quoted, match["values"])

    def _quoted(self, match: re.Match[str]) -> str:
        group = 1 if match.group(1) is not None else 2
        return match.group() if is_benign_value(match.group(group)) else self._group(match, group)

    def _header(self, match: re.Match[str]) -> str:
        head = match.group("head") or match.group("head2")
        value = match.group("value") or match.group("value2")
        return head + value if MARKER.search(value) else head + self.digest(value)

    def _named(self, text: str, *, only: Callable[[str], bool] = bool) -> str:
        """`name=value`, `name: value`, `--name value` and `<name>value` anywhere in a line; `only` values that fit."""
        pieces: list[str] = []
        done = at = 0
        while head := _NAME_IN_TEXT.search(text, at):
            at = max(head.end(), at + 1)
            name = head["name"] or head["flag"] or head["tag"]
            value = _VALUE_IN_TEXT.match(text, head.end()) if is_secret_name(name) else None
            group = value.lastgroup if value else None
            if value is None or group is None or not _hidden_by_name(name, value[group]) or MARKER.search(value[group]):
                continue
            if not only(value[group]):
                continue
            pieces += [text[done : value.start(group)], self.digest(value[group])]
            done = at = value.end(group)
        return "".join([*pieces, text[done:]])

    def _yaml(self, text: str) -> str:
        """Lines `name: value` to their end, and blocks (`name: |`) with everything that is indented deeper."""
        lines: list[str] = []
        block_indent: int | None = None
        for line in text.split("\n"):
            indent = len(line) - len(line.lstrip())
            if block_indent is not None:
                if not line.strip() or indent > block_indent:
                    lines.append(line[:indent] + self.digest(line.strip()) if line.strip() else line)
                    continue
                block_indent = None
            match = _YAML_LINE.fullmatch(line)
            if match and _hidden_by_name(match["name"], match["value"]) and not MARKER.search(match["value"]):
                if re.fullmatch(r"[|>][+\-0-9]*", match["value"].strip()):
                    block_indent = indent
                    lines.append(line)
                elif match["value"][0] in "\"'{[":
                    lines.append(line if match["value"][0] in "\"'" else match["head"] + self.digest(match["value"]))
                else:
                    lines.append(match["head"] + self.digest(match["value"]))
            else:
                lines.append(line)
        return "\n".join(lines)


_PART_OF_NAME = re.compile(r"(?<![A-Za-z0-9+_=\-])[A-Za-z0-9+_=\-]{16,}(?![A-Za-z0-9+_=\-])")
_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_=\-.])[A-Za-z0-9+/_=\-]{32,}(?![A-Za-z0-9+/_=\-])")


def parts_of_name(name: str) -> list[str]:
    """The parts of a file's name that could be taken for a secret where the name is told."""
    return _PART_OF_NAME.findall(name)


def make_scrubber(
    key: bytes, environ: Mapping[str, str], *, secrets: Iterable[str] = (), shown: Set[str] = frozenset()
) -> Scrubber:
    """A scrubber that also knows the values under secret names in `environ`, and those in `secrets`.

    `key` is random and kept by the caller, at least LEAST_KEY bytes; `secrets` are values the caller has at hand;
    `shown` are parts of names, which may grow.
    """
    if len(key) < LEAST_KEY:
        raise ValueError(f"The key of the digests has {len(key)} bytes; give at least {LEAST_KEY} random ones.")
    found = {value for name, value in environ.items() if _hidden_by_name(name, value)} | set(secrets)
    forms = {form for value in found for form in _forms(value.strip()) if len(form) >= _MIN_KNOWN}
    return Scrubber(key, tuple(sorted(forms, key=lambda form: (-len(form), form))), shown)


def _forms(secret: str) -> set[str]:
    """`secret` in the spellings that it may have elsewhere."""
    if len(secret) < _MIN_KNOWN or is_benign_value(secret):
        return set()
    raw = secret.encode("utf-8", "surrogateescape")
    forms = {secret, quote(raw, safe=""), quote_plus(raw), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    forms |= {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="), raw.hex()}
    return forms


def _is_no_word(value: str) -> bool:
    """Whether a value in a sentence is no part of it: digits among letters, or capitals that no name would have."""
    word = value.rstrip(".,;:!?)")
    letters = re.sub(r"[^A-Za-z]", "", word)
    odd = len(re.findall(r"[a-z][A-Z]", letters)) > 1 or (bool(letters) and any(c.isdigit() for c in word))
    return len(word) >= 6 and not re.search(r"\s", word) and (odd or bool(re.search(r"[!$%&*^~@#]", word)))


def _hidden_by_name(name: str, value: object) -> bool:
    if isinstance(value, bool) or value is None or not is_secret_name(name):
        return False
    if isinstance(value, (int, float)):
        return is_strong_secret_name(name)
    text = str(value)
    if not text or MARKER.fullmatch(text) or is_benign_value(text):
        return False
    return not (is_path_name(name) and _is_path(text))


def _hides_below(name: str, value: object) -> bool:
    return isinstance(value, (Mapping, list, tuple, set)) and is_strong_secret_name(name)


def _is_path(text: str) -> bool:
    return text.startswith(("/", "~", "./", "../")) and not re.search(r"\s", text)
