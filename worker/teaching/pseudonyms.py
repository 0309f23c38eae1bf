"""Names for patients and films that say nothing to who has not got the site's key, and stay the same."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dicom_io.header import decode_header
from dicom_io.part10 import tolerant
from worker.errors import ExportError

KEY_NAME = "training.key"
_KEY_BYTES = 32
_DIGITS = 32  # 128 bits: no two patients of a site share a name by chance


class Pseudonyms:
    """Keyed hashes (HMAC-SHA256): without the key nobody can try all patient IDs of a hospital.

    Args:
        key: of the site.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def patient(self, header: bytes | None, study_instance_uid: str) -> str:
        """Name the patient of a study by Patient ID alone; one whose ID is not known is that of this study only.

        Two patients with one ID of two issuers count as one, which leaks nothing between the parts of a training set.
        """
        with tolerant():
            identifier = "" if header is None else str(decode_header(header).get("PatientID") or "").strip()
        return self._name("patient", identifier) if identifier else self._name("study", study_instance_uid)

    def film(self, content_sha256: str, frame: int) -> str:
        """Name a frame."""
        return self._name("film", content_sha256, str(frame))

    def _name(self, *parts: str) -> str:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256).hex()[:_DIGITS]


def site_key(path: Path) -> bytes:
    """Return the key in a file, which is drawn and written, readable by this account only, where there is none.

    Raises:
        ExportError: if it is damaged, or others can read it.
        OSError: if it cannot be read or written.
    """
    with suppress(FileExistsError):
        _write_new(path, lambda: secrets.token_hex(_KEY_BYTES).encode())
    if path.stat().st_mode & 0o077:
        raise ExportError(f"{path} can be read by others, who could find patients by it: run chmod 600 on it")
    try:
        key = bytes.fromhex(path.read_text("ascii"))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ExportError(f"{path} is damaged: restore it from a backup, or remove it; then patients get other names")
    return key


def _write_new(path: Path, draw: Callable[[], bytes]) -> None:
    """Write a file whole or not at all; another process that does the same at once finds it there."""
    if path.exists():
        raise FileExistsError
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(draw())
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(part)
    finally:
        part.unlink()
