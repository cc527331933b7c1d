"""A certificate for the loopback Service Bus, created for each simulator."""

from datetime import UTC, datetime, timedelta
import ipaddress
from pathlib import Path
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFETIME = timedelta(days=30)


class Certificate:
    """A self-signed certificate.

    Attributes:
        pem: The certificate in PEM, for a client to trust.
    """

    def __init__(
        self,
        name: str = "localhost",
        address: str | None = "127.0.0.1",
        *,
        expired: bool = False,
    ) -> None:
        """Create the key and the certificate.

        Args:
            name: The DNS name that it is issued for.
            address: The IP address that it is issued for, None for none.
            expired: Whether it has expired yesterday.
        """
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "Zaptec simulator")]
        )
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if address:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        begin = datetime.now(UTC) - timedelta(days=1)
        if expired:
            begin -= _LIFETIME
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + _LIFETIME)
            .add_extension(
                x509.SubjectAlternativeName(names),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self) -> ssl.SSLContext:
        """Return the context of the server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        # The ssl module reads certificates from files only.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "certificate.pem")
            path.touch(mode=0o600)
            path.write_text(key + self.pem, encoding="ascii")
            context.load_cert_chain(path)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts the server."""
        return ssl.create_default_context(cadata=self.pem)
