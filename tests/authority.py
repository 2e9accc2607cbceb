"""
A certificate authority of the tests' own, and servers that it vouches for.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import CertificateOptions, PrivateCertificate

_DAY = timedelta(days=1)


@define
class Authority:
    """
    One whom nobody trusts who was not told to.
    """

    _name: x509.Name = field(init=False)
    _key: ec.EllipticCurvePrivateKey = field(init=False)
    _certificate: x509.Certificate = field(init=False)

    def __attrs_post_init__(self) -> None:
        # One of the same name would be taken for it.
        self._name = _named(f"authority {x509.random_serial_number():x}"[:60])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = (
            _begun(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """
        What whoever trusts it must be given.
        """
        return self._certificate.public_bytes(Encoding.PEM)

    def server(self, *names: str) -> CertificateOptions:
        """
        A server's side of TLS, for these names and addresses.
        """
        pem = self.server_pem(*names)
        options: CertificateOptions = PrivateCertificate.loadPEM(pem).options()
        return options

    def server_pem(self, *names: str) -> bytes:
        """
        Its key and its certificate, as a file has them.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _begun(_named("a server"), self._name, key)
            .add_extension(
                x509.SubjectAlternativeName([_alternative(name) for name in names]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key.private_bytes(*plain) + certificate.public_bytes(Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
