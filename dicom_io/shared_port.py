"""One TCP port for several listening processes of ours, and for no other service.

With SO_REUSEPORT the kernel deals connections out to every socket that listens on the port and has that option, and
lets a socket in only if its process has the same user as those before it. A second service of the same user would
silently get its share; so one process holds the port, and lets in sockets with the option and no others.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pynetdicom.transport import AddressInformation


@contextmanager
def reserve(host: str, port: int) -> Iterator[None]:
    """Hold a port until the block ends, for listeners that share it; whoever asks for it alone is refused.

    Args:
        host: name or address to bind.
        port: not 0: of a port that the kernel has chosen it lets go when the socket is shut down.

    Raises:
        OSError: if somebody listens on the port or holds it.
    """
    address = AddressInformation.from_addr_port(host, port)
    with socket.socket(address.address_family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not held up by connections of a former service
        holder.bind(address.as_tuple)
        holder.listen()  # the kernel's last word on whether it is free: fails if another one has come to listen
        # From here on it is shared with sockets that have SO_REUSEPORT; without SO_REUSEADDR it conflicts with all
        # others, even while none of ours listens. A shut down listener stays bound, but is dealt no connection.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.shutdown(socket.SHUT_RDWR)
        yield
