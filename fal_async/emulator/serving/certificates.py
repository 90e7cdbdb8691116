"""A certificate authority and a certificate for this machine and fal's host names, in a folder.

The private key of the authority is never written, so its certificate can't be misused to sign others. Nothing is
installed into the system's trust: a program trusts the authority only if its environment names the file.
"""

from __future__ import annotations

import datetime
import importlib.util
import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from fal_async.emulator.wire.routing import FAL_DOMAINS, FAL_HOSTS

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

TRUST_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""The environment variables that name trusted certificates: Python and OpenSSL, requests, curl, Node."""
MISSING = "TLS needs the package cryptography: pip install 'fal-async[emulator]'"
_DAYS = 365
"""Lifetime of the certificates; some clients refuse one that is valid for more than 398 days."""
_LEFT = datetime.timedelta(days=1)
"""A certificate that ends earlier than this is replaced."""
_ALWAYS = ("localhost", "fal.localhost", "*.localhost", "127.0.0.1", "::1")
"""OpenSSL accepts a wildcard only below a name with a dot, other libraries also this one."""


@attrs.frozen
class Certificates:
    """The files of a folder.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate of the authority, for `NODE_EXTRA_CA_CERTS` and the like."""
        return self.folder / "fal-emulator-ca.pem"

    @property
    def bundle(self) -> Path:
        """The certificates that this machine trusts, and that of the authority, for `SSL_CERT_FILE`."""
        return self.folder / "fal-emulator-bundle.pem"

    @property
    def server(self) -> Path:
        """The certificate of the server and its private key, which only the owner can read."""
        return self.folder / "fal-emulator-server.pem"

    def context(self) -> ssl.SSLContext:
        """Return the server-side TLS context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        # A client that reads only after it has written everything would wait for tickets that it did not read.
        context.num_tickets = 0
        return context


def certificates_in(folder: Path, host: str, environ: Mapping[str, str]) -> Certificates:
    """Return the certificates of a folder. They are made if they are missing, expire soon, or lack a name.

    Args:
        folder: the folder; it is made if it is missing.
        host: the address that the emulator listens on, for which the certificate is valid as well.
        environ: the environment variables, in which the user may have named trusted certificates.

    Raises:
        ModuleNotFoundError: If the package cryptography is missing.
        OSError: If the folder can't be written.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise ModuleNotFoundError(MISSING)
    found = Certificates(folder.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    names = _names(host)
    if not _is_usable(found, names):
        _make(found, names)
    _write(found.bundle, _trusted(environ, found))
    return found


def _names(host: str) -> tuple[str, ...]:
    wildcards = (f"*.{domain}" for domain in FAL_DOMAINS)
    own = () if host in ("", "0.0.0.0", "::") else (host,)
    return tuple(dict.fromkeys((*_ALWAYS, *sorted(FAL_HOSTS), *wildcards, *own)))


def _is_usable(found: Certificates, names: Iterable[str]) -> bool:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(found.server.read_bytes())
        authority = x509.load_pem_x509_certificate(found.authority.read_bytes())
        certificate.verify_directly_issued_by(authority)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found.context()
    except Exception:  # a file is missing or damaged, in one of many ways: it is made again
        return False
    now = datetime.datetime.now(datetime.UTC)
    covered = {str(name.value) for name in extension.value}
    return certificate.not_valid_after_utc - now > _LEFT and covered >= set(names)


def _make(found: Certificates, names: Iterable[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = _title("fal emulator: CA of this machine")
    authority = x509.BasicConstraints(ca=True, path_length=0)
    root = _signed(_builder(root_name, root_name, root_key, root_key), authority, root_key)
    server = _builder(_title("fal emulator"), root_name, key, root_key)
    server = server.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    signed = _signed(
        server.add_extension(usage, False), x509.BasicConstraints(ca=False, path_length=None), root_key
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(found.server, signed.public_bytes(pem) + secret)
    _write(found.authority, root.public_bytes(pem))


def _title(text: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    signing_key: EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        # Python 3.13 and later refuse certificates without these two.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(signer, False)
    )


def _signed(
    builder: x509.CertificateBuilder, constraints: x509.BasicConstraints, key: EllipticCurvePrivateKey
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=constraints.ca,
        crl_sign=constraints.ca,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(constraints, True).add_extension(usage, True).sign(key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _trusted(environ: Mapping[str, str], found: Certificates) -> bytes:
    """Return what this machine and the user's variables trust, and the authority, without repetitions."""
    system = ssl.create_default_context()
    certificates = [ssl.DER_cert_to_PEM_cert(each) for each in system.get_ca_certs(binary_form=True)]
    own = [Path(environ[name]) for name in TRUST_VARIABLES if environ.get(name)]
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in (*own, found.authority)
        if path.is_file() and path != found.bundle
    ]
    return "\n".join([*dict.fromkeys(certificates), *texts, ""]).encode()


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; a reader sees the old or the new one."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(new, path)
