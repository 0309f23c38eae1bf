"""When a server that says nothing counts as gone.

A cut network closes no connection: whoever waits for an answer, or for the next message, would do so for as long as the
kernel retransmits (a quarter of an hour) or probes (two hours). With these bounds either side lets go after some ten
seconds, and what was cut off for less goes on as if nothing had been.
"""

import socket

IDLE_SECONDS = 5  # without a word, before the kernel asks
INTERVAL_SECONDS = 2
PROBES = 3
UNANSWERED_MILLISECONDS = 10_000  # for what was sent, or asked

# Of connections that are made here, by the names of tcp(7).
SOCKET_OPTIONS = {
    socket.TCP_KEEPIDLE: IDLE_SECONDS,
    socket.TCP_KEEPINTVL: INTERVAL_SECONDS,
    socket.TCP_KEEPCNT: PROBES,
    socket.TCP_USER_TIMEOUT: UNANSWERED_MILLISECONDS,
}

# Of connections that libpq makes, by the names of its parameters.
LIBPQ_OPTIONS = {
    "keepalives_idle": IDLE_SECONDS,
    "keepalives_interval": INTERVAL_SECONDS,
    "keepalives_count": PROBES,
    "tcp_user_timeout": UNANSWERED_MILLISECONDS,
}

# Of PostgreSQL's end of them: the session of a host that was cut off holds its locks until the server lets go.
POSTGRESQL_SETTINGS = {
    "tcp_keepalives_idle": str(IDLE_SECONDS),
    "tcp_keepalives_interval": str(INTERVAL_SECONDS),
    "tcp_keepalives_count": str(PROBES),
    "tcp_user_timeout": str(UNANSWERED_MILLISECONDS),
}
