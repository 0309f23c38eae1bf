"""`cxr-triage serve` as its users run it, and what they look at."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicom_io.types import ApplicationEntity
from tests.servers.ports import LOOPBACK, accepts, free_port, wait_until

START_SECONDS = 120.0
CXR_TRIAGE = Path(sys.executable).with_name("cxr-triage")


@dataclass
class RunningService:
    """A service in a folder, started, killed and started again."""

    folder: Path
    toml: str
    settings: dict[str, object]
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def listener(self) -> ApplicationEntity:
        """Where to push."""
        return ApplicationEntity("CXRTRIAGE", LOOPBACK, self.port)

    @property
    def log(self) -> Path:
        """Everything the service has printed."""
        return self.folder / "serve.log"

    @property
    def flags_folder(self) -> Path:
        """The embedded default destination."""
        return self.folder / "data" / "flags"

    def start(self) -> None:
        """Start everything and wait until the listener answers."""
        short = {"study_quiet_seconds": 1, "prepare_processes": 1, "min_free_bytes": 0}
        top = {"data_dir": str(self.folder / "data"), **short, **self.settings}
        lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        self._config.write_text("\n".join([*lines, "[listener]", f"port = {self.port}", self.toml]))
        with self.log.open("ab") as log:
            command = (str(CXR_TRIAGE), "serve", "--config", str(self._config))
            environment = {**os.environ, "CXR_WEB__ENABLED": "false", **self.environment}
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        wait_until(self._answers, f"the listener answering, see {self.log}", seconds=START_SECONDS)

    def stop(self) -> None:
        """Stop as an operator would."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def kill_everything(self) -> None:
        """Send SIGKILL to every process of the service, the supervisor first, so that it restarts nothing."""
        assert self.process is not None
        processes = [self.process.pid, *descendants(self.process.pid)]
        for process_id in processes:
            _kill(process_id)
        self.process.wait()
        wait_until(lambda: not any(_is_alive(p) for p in processes), "the end of every process")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `cxr-triage` with this service's settings."""
        words = [str(CXR_TRIAGE), *command, "--config", str(self._config)]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)

    def json(self, *command: str) -> Any:
        """Run a command with `--json` and parse its answer."""
        done = self.run(*command, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def flags(self) -> list[dict[str, Any]]:
        """The JSON flags in the folder so far."""
        return [json.loads(path.read_text()) for path in sorted(self.flags_folder.glob("*.json"))]

    def concluded(self) -> dict[str, dict[str, Any]]:
        """The complete flag of the highest revision of each study."""
        complete = [flag for flag in self.flags() if flag["complete"]]
        return {f["study_instance_uid"]: f for f in sorted(complete, key=lambda f: int(f["revision"]))}

    def first_flag(self, study_instance_uid: str) -> dict[str, Any] | None:
        """The first flag that was said of a study, if any was."""
        said = [flag for flag in self.flags() if flag["study_instance_uid"] == study_instance_uid]
        return min(said, key=lambda flag: str(flag["created_at"]), default=None)

    @property
    def _config(self) -> Path:
        return self.folder / "settings.toml"

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return accepts(self.port)


def descendants(process_id: int) -> list[int]:
    """Every process that a process has started, and those that they have."""
    children = Path(f"/proc/{process_id}/task/{process_id}/children")
    try:
        direct = [int(word) for word in children.read_text().split()]
    except FileNotFoundError:
        return []
    return [found for child in direct for found in (child, *descendants(child))]


def _kill(process_id: int) -> None:
    try:
        os.kill(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return


def _is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
