"""Certificates of an authority of the test's own; keys are made anew each time and never kept."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from dicom_io.types import TransportSecurity
from tests.servers.programs import require_program


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    name: str

    @classmethod
    def make(cls, folder: Path, name: str) -> "Authority":
        """Make its key and certificate."""
        _openssl(folder, "req", "-x509", *_new_key(name), "-subj", f"/CN={name}", "-days", "2", "-out", f"{name}.pem")
        return cls(folder, name)

    @property
    def certificate(self) -> Path:
        """Its PEM file."""
        return self.folder / f"{self.name}.pem"

    def issue(self, name: str, *, names: str = "DNS:localhost,IP:127.0.0.1") -> TransportSecurity:
        """Issue a certificate for servers and clients; whoever holds it trusts this authority."""
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        request = f"{name}.csr"
        _openssl(self.folder, "req", "-new", *_new_key(name), "-subj", f"/CN={name}", "-out", request)
        signing = ("-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-CAcreateserial", "-days", "2")
        _openssl(
            self.folder, "x509", "-req", "-in", request, *signing, "-extfile", extensions.name, "-out", f"{name}.pem"
        )
        return TransportSecurity(self.folder / f"{name}.pem", self.folder / f"{name}.key", self.certificate)


def _new_key(name: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    command = [require_program("openssl", "openssl"), *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
