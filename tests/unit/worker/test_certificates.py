"""The files of TLS are looked at before anything is started with them."""

from pathlib import Path

import pytest

from worker.certificates import require_certificates
from worker.destinations import ClientTlsSettings, Hl7Destination
from worker.errors import ConfigurationError
from worker.settings import Settings


def test_the_files_of_a_receiver_of_hl7_are_looked_at(tmp_path: Path) -> None:
    """A missing one names the destination and the file; without TLS, or without files of its own, all is well."""
    plain = Hl7Destination(kind="hl7", name="ris", host="ris", port=2575)
    require_certificates(Settings(data_dir=tmp_path, destinations=(plain,)))
    system = plain.model_copy(update={"tls": ClientTlsSettings()})
    require_certificates(Settings(data_dir=tmp_path, destinations=(system,)))
    gone = plain.model_copy(update={"tls": ClientTlsSettings(authorities=tmp_path / "gone.pem")})
    with pytest.raises(ConfigurationError, match=r"destination ris, tls: .*gone\.pem: No such file"):
        require_certificates(Settings(data_dir=tmp_path, destinations=(gone,)))
