"""A private RabbitMQ that can be killed and started again where it was."""

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dicom_io.types import TransportSecurity
from tests.servers.ports import LOOPBACK, accepts, free_port, wait_until
from tests.servers.processes import running
from tests.servers.programs import require_file, require_program

PACKAGE = "rabbitmq-server"
USER = "cxr"
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")  # those on PATH change to the account and the folder of the system's server
_START_SECONDS = 60.0  # an empty node takes some 5 s of processor time


@dataclass
class RabbitMQ:
    """A node of its own: ports, name daemon, folder and cookie are no other's."""

    folder: Path
    own: TransportSecurity | None = None
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    _environment: dict[str, str] = field(default_factory=dict)
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._environment = {**os.environ, **self._variables()}
        self.folder.joinpath("rabbitmq.conf").write_text("".join(f"{line}\n" for line in self._configuration()))
        self.folder.joinpath("plugins").write_text("[].")

    @property
    def url(self) -> str:
        """Celery's broker URL."""
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.port}//"

    @property
    def tls_url(self) -> str:
        """The same over TLS, where the node has a certificate."""
        return f"amqps://{USER}:{self.password}@{LOOPBACK}:{self.tls_port}//"

    def _configuration(self) -> Iterator[str]:
        yield from (f"default_user = {USER}", f"default_pass = {self.password}")
        if self.own is not None:
            yield f"listeners.ssl.default = {LOOPBACK}:{self.tls_port}"
            yield f"ssl_options.cacertfile = {self.own.authorities}"
            yield f"ssl_options.certfile = {self.own.certificate}"
            yield f"ssl_options.keyfile = {self.own.key}"
            yield "ssl_options.verify = verify_none"

    def start(self) -> None:
        """Start the node on what it kept, and wait until it takes connections."""
        server = str(require_file(_PROGRAMS / "rabbitmq-server", PACKAGE))
        # `running` waits for half a minute, which an empty node on a busy machine may not be content with.
        self._process = self._running.enter_context(self._run([server], "node"))
        wait_until(self._is_up, f"RabbitMQ answering, see {self.folder}", seconds=_START_SECONDS, every=0.1)

    def kill(self) -> None:
        """Send SIGKILL to the node."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._running.close()

    def queues(self) -> dict[str, tuple[str, int]]:
        """Ask the node for its queues by name: their type, and how many messages wait or are not acknowledged."""
        rows = [line.split("\t") for line in self._control("list_queues", "name", "type", "messages").splitlines()]
        return {name: (kind, int(messages)) for name, kind, messages in rows}

    @contextlib.contextmanager
    def alarmed(self) -> Iterator[None]:
        """Let the node take no messages during the block, as when its memory is full; who publishes is blocked."""
        self._control("set_vm_memory_high_watermark", "0.0000001")
        yield
        self._control("set_vm_memory_high_watermark", "0.4")

    def _control(self, *words: str) -> str:
        program = str(require_file(_PROGRAMS / "rabbitmqctl", PACKAGE))
        done = subprocess.run(
            [program, "--silent", *words], env=self._environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    @contextlib.contextmanager
    def naming(self) -> Iterator[None]:
        """Run the node's name daemon, which would start by itself and stay."""
        daemon = [require_program("epmd", PACKAGE), "-address", LOOPBACK, "-port", self._environment["ERL_EPMD_PORT"]]
        with self._run(daemon, "epmd"):
            wait_until(lambda: accepts(int(self._environment["ERL_EPMD_PORT"])), "epmd answering")
            yield

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "node.log").read_text()[-2000:]
        return accepts(self.port)

    def _run(self, command: list[str], name: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        words = ["env", *(f"{key}={value}" for key, value in self._variables().items()), *command]
        return running(words, ready=lambda: True, log=self.folder / f"{name}.log")

    def _variables(self) -> dict[str, str]:
        here = str(self.folder)
        ports = self._environment or {"RABBITMQ_DIST_PORT": str(free_port()), "ERL_EPMD_PORT": str(free_port())}
        return {
            "HOME": here,  # of the cookie
            "RABBITMQ_NODENAME": "cxr@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": ports["RABBITMQ_DIST_PORT"],
            "ERL_EPMD_PORT": ports["ERL_EPMD_PORT"],
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{here}/flags",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/schema",
            "RABBITMQ_SCHEMA_DIR": f"{here}/schema",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
        }


@contextlib.contextmanager
def rabbitmq(folder: Path, own: TransportSecurity | None = None) -> Iterator[RabbitMQ]:
    """Run an empty node until the block ends; with a certificate it speaks TLS, too, on a port of its own."""
    node = RabbitMQ(folder, own)
    with node.naming():
        node.start()
        try:
            yield node
        finally:
            node.kill()
