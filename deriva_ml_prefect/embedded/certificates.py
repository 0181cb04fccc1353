"""HTTPS on loopback: a certificate authority of this data folder's own, and the server certificate it signs.

In `tls/` of the data folder (all files mode 0600):

    ca.pem      certificate of the authority: what a client is told to trust (REQUESTS_CA_BUNDLE=…/tls/ca.pem)
    ca.key      its private key
    server.pem  the server's certificate and private key, for `localhost`, `127.0.0.1` and `::1`

The authority may sign for loopback names only (its certificate says so, and clients check it), so a leaked key is of
no use against any other site. Both are made when they are first needed. The server's certificate is renewed RENEW days
before it ends, by the same authority, so what clients were told to trust stays good; the authority is renewed, at the
same path, RENEW days before its own end. Each file begins with a line that says until when it is good.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from .files import write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, Name

FOLDER = "tls"
AUTHORITY = "ca.pem"
AUTHORITY_KEY = "ca.key"
SERVER = "server.pem"
AUTHORITY_DAYS = 3650
SERVER_DAYS = 365
RENEW = timedelta(days=60)
BACKDATED = timedelta(hours=1)
MARK = "# good until "
NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")


def authority_file(data_folder: Path) -> Path:
    """The file that clients trust; it exists after `ensure_certificates`."""
    return data_folder / FOLDER / AUTHORITY


def ensure_certificates(data_folder: Path, now: datetime | None = None) -> bool:
    """Make or renew what is missing, unreadable or about to end; says whether anything was written.

    Cheap when nothing is to be done: two small files are looked at.
    """
    now = now or datetime.now(UTC)
    folder = data_folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    authority_good = _is_good(folder / AUTHORITY, now) and (folder / AUTHORITY_KEY).exists()
    if authority_good and _is_good(folder / SERVER, now):
        return False
    if not authority_good:
        _make_authority(folder, now)
    _make_server(folder, now)
    return True


def server_context(data_folder: Path) -> ssl.SSLContext:
    """What a listener needs to speak TLS; `reload_certificate` gives it a renewed certificate while it serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    reload_certificate(context, data_folder)
    return context


def reload_certificate(context: ssl.SSLContext, data_folder: Path) -> None:
    """Handshakes from now on show the certificate that is in the folder now."""
    context.load_cert_chain(data_folder / FOLDER / SERVER)


def _is_good(path: Path, now: datetime) -> bool:
    try:
        first = path.read_text(encoding="ascii").split("\n", 1)[0]
        return first.startswith(MARK) and datetime.fromisoformat(first.removeprefix(MARK)) - RENEW > now
    except (OSError, ValueError):
        return False


def _make_authority(folder: Path, now: datetime) -> None:
    """A new authority; its key is on disk before its certificate, so a kill between the two is repaired."""
    from ipaddress import ip_network

    from cryptography import x509

    key = _new_key()
    name = _name(f"Embedded DERIVA of this user, {now:%Y-%m-%d %H:%M:%S}")
    until = now + timedelta(days=AUTHORITY_DAYS)
    allowed: list[x509.GeneralName] = [x509.DNSName(text) for text in NAMES]
    allowed += [x509.IPAddress(ip_network(text)) for text in ADDRESSES]
    certificate = (
        _builder(name, name, key, now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(allowed, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    (folder / AUTHORITY).unlink(missing_ok=True)
    write_private(folder / AUTHORITY_KEY, _key_text(key))
    write_private(folder / AUTHORITY, _certificate_text(_signed(certificate, key), until))


def _make_server(folder: Path, now: datetime) -> None:
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority, authority_key = _read_authority(folder)
    key = _new_key()
    until = min(now + timedelta(days=SERVER_DAYS), authority.not_valid_after_utc)
    names: list[x509.GeneralName] = [x509.DNSName(text) for text in NAMES]
    names += [x509.IPAddress(ip_address(text)) for text in ADDRESSES]
    certificate = (
        _builder(_name("localhost"), authority.subject, key, now, until)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    text = _certificate_text(_signed(certificate, authority_key), until) + _key_text(key)
    write_private(folder / SERVER, text)


def _read_authority(folder: Path) -> tuple[Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes())
        key = load_pem_private_key((folder / AUTHORITY_KEY).read_bytes(), None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ValueError("not a key of the kind that is made here")
    except ValueError as error:
        raise ValueError(
            f"The certificate authority in {folder} cannot be used ({error}). Remove that folder: the next start makes "
            "another, which clients then have to trust."
        ) from error
    return certificate, key


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: Name, issuer: Name, key: EllipticCurvePrivateKey, now: datetime, until: datetime
) -> CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: CertificateBuilder, key: EllipticCurvePrivateKey) -> Certificate:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _certificate_text(certificate: Certificate, until: datetime) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return f"{MARK}{until.isoformat(timespec='seconds')}\n" + certificate.public_bytes(Encoding.PEM).decode("ascii")


def _key_text(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
