"""Who may speak to us, how much of it and for how long: the rules of the door, without a socket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

REQUEST_SECONDS = 15.0  # PS3.8 9.1.5, ARTIM: longest way from the connection, TLS included, to the A-ASSOCIATE-RQ
MAX_CONTROL_PDU_BYTES = 256 * 1024  # every PDU but P-DATA-TF; 128 presentation contexts need 64 KiB
MAX_COMMAND_SET_BYTES = 16 * 1024  # PS3.7 E: a C-STORE-RQ has some 300

Network = IPv4Network | IPv6Network


class Reason(StrEnum):
    """Why a connection was refused, or ended before its time; stands in log lines and metrics."""

    ADDRESS = "address"  # not in the allowed networks
    NO_ROOM = "no-room"  # silent for the longest when others wanted its place
    TLS = "tls"  # no TLS, too old a TLS, or no certificate that we trust
    NO_REQUEST = "no-request"  # no A-ASSOCIATE-RQ in time
    CALLING_AE_TITLE = "calling-ae-title"
    CALLED_AE_TITLE = "called-ae-title"
    TOO_MANY = "too-many-associations"
    IDLE = "idle"
    TOO_LONG = "too-long"  # an association past its total time
    PDU_LENGTH = "pdu-length"  # longer than announced
    PROTOCOL = "protocol"  # bytes that are no upper layer or DIMSE message
    ABORTED = "aborted"  # by the peer, or its connection was lost
    STOPPING = "stopping"  # we end


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener process takes at most; the defaults are those of the settings.

    Attributes:
        associations: at a time.
        pdu_bytes: longest P-DATA-TF, announced as our maximum length (PS3.8 D.1).
        object_bytes: largest encoded data set.
        idle_seconds: longest silence, also inside a PDU.
        association_seconds: longest life of an association, whatever it does.
    """

    associations: int = 64
    pdu_bytes: int = 256 * 1024  # fits the processor's caches: 10 MB cost 24 ms of CPU, in 16 MiB PDUs 40
    object_bytes: int = 1024**3
    idle_seconds: float = 60.0
    association_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in.

    Attributes:
        callers: calling AE titles; empty: every caller.
        networks: networks of the callers' addresses; empty: every address.
        called: our own AE title where an association must be addressed to it, else None.
    """

    callers: Sequence[str] = ()
    networks: Sequence[Network] = ()
    called: str | None = None

    def admits(self, address: str) -> bool:
        """Tell whether a peer at this IP address is let in, before anything of it is read."""
        if not self.networks:
            return True
        peer = _unmapped(ip_address(address))
        return any(peer in network for network in self.networks)

    def rejection(self, calling: str, called: str) -> Reason | None:
        """Judge the AE titles of an A-ASSOCIATE-RQ; outer spaces do not count (PS3.5 6.2, AE)."""
        if self.callers and calling.strip() not in {caller.strip() for caller in self.callers}:
            return Reason.CALLING_AE_TITLE
        if self.called is not None and called.strip() != self.called.strip():
            return Reason.CALLED_AE_TITLE
        return None


def _ignore(_: object) -> None:
    return


@dataclass(frozen=True, slots=True)
class Observer:
    """Who counts: `answered` is told the status of each C-STORE, `turned_away` why a connection was not served."""

    answered: Callable[[int], None] = _ignore
    turned_away: Callable[[Reason], None] = _ignore


EVERYBODY = Access()
USUAL = Limits()
UNOBSERVED = Observer()


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    # A socket for both families shows an IPv4 peer as ::ffff:a.b.c.d.
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
