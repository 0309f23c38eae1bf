"""What the service stands on, where a wrong setting shows only once it does harm: database, broker, clock, folder."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import text

from worker.broker_checks import examine_broker
from worker.clocks import Tolerance, direction, seconds_ahead
from worker.finding import DoubtfulError, Finding, NotWellError, attempt
from worker.level import LEVEL, read_standing
from worker.service import Service

MOUNTS = Path("/proc/self/mountinfo")
_MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")
# SQLite's write-ahead log needs one host's memory, and the embedded broker's files one host's locks.
_OF_THE_NETWORK = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
    ]
)


def examine_surroundings(service: Service) -> Iterator[Finding]:
    """Look at one thing after the other."""
    yield attempt("database", partial(_database, service))
    yield attempt("clock", partial(_clock, service))
    yield from examine_broker(service.settings)
    yield attempt("data_dir", partial(_folder, service))


def _database(service: Service) -> str:
    with service.database.read() as session:
        standing = read_standing(session.connection())
        level = standing.level if standing else "none"
        if service.database.engine.dialect.name != "postgresql":
            return f"SQLite, schema at level {level}"
        off = [name for name in _MUST_BE_ON if session.scalar(text(f"SHOW {name}")) == "off"]
    if off:
        raise DoubtfulError(
            f"PostgreSQL runs with {' and '.join(off)} off: after a power cut it has lost what senders were promised "
            "to be kept; set them on in postgresql.conf"
        )
    behind = f"; this version would bring it to {LEVEL} (`cxr-triage migrate`)" if level < LEVEL else ""
    return f"PostgreSQL, schema at level {level}{behind}"


def _clock(service: Service) -> str:
    ahead = seconds_ahead(service.database, service.now)
    if ahead is None:
        return "the database has no other clock than this host's"
    tolerance = Tolerance.of(service.settings)
    said = f"this host's clock is {direction(ahead)} the database server's"
    if abs(ahead) < tolerance.told:
        return said
    advice = f"{said}: keep the clocks of all hosts by NTP"
    if abs(ahead) < tolerance.harmful:
        raise DoubtfulError(f"{advice} (told from {tolerance.told:g} s on)")
    does = "concludes studies, and takes work that others hold, too early" if ahead > 0 else "does so too late"
    raise NotWellError(f"{advice}; by more than study_quiet_seconds or lease_seconds it {does}")


def _folder(service: Service) -> str:
    settings = service.settings
    kind = file_system(settings.data_dir, MOUNTS.read_text())
    named = f"{settings.data_dir} on {kind}"
    local = [name for name in ("database_url", "broker_url") if getattr(settings, name) is None]
    if kind in _OF_THE_NETWORK and local:
        raise DoubtfulError(
            f"{named}, a file system of several hosts, which the embedded database and broker cannot work on: put it "
            f"on a local disk, or set {' and '.join(local)}"
        )
    return named


def file_system(folder: Path, mounts: str) -> str:
    """Return the type of the file system that a folder lies on.

    Args:
        folder: need not be there.
        mounts: `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
    """
    found = {"/": "unknown"}
    for line in mounts.splitlines():
        of_mount, _, of_system = line.partition(" - ")
        point = of_mount.split()[4].encode().decode("unicode_escape")  # a space is written as \\040
        found[point] = of_system.split()[0]
    real = Path(os.path.realpath(folder))
    return next(found[str(above)] for above in (real, *real.parents) if str(above) in found)
