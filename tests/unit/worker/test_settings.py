"""Settings: environment over file over defaults, and one line about what is wrong."""

import os
import traceback
from pathlib import Path

import pytest

from worker.destinations import DicomDestination, FolderDestination
from worker.errors import ConfigurationError
from worker.settings import CONFIG_VARIABLE, Settings, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No CXR_* of the developer's own; what a test exports is gone afterwards."""
    for name in [name for name in os.environ if name.startswith("CXR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    monkeypatch.delenv(CONFIG_VARIABLE)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the settings file goes."""
    return tmp_path / "worker.toml"


def refusal(file: Path, text: str) -> str:
    """The message that a settings file with this text is refused with."""
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    return str(caught.value)


def test_the_defaults_need_nothing_else(tmp_path: Path) -> None:
    """Without file and environment: loopback, an SQLite file, the embedded broker and a folder, under one folder."""
    settings = load_settings()
    assert (settings.listener.ae_title, settings.listener.host, settings.listener.port) == (
        "CXRTRIAGE",
        "127.0.0.1",
        11112,
    )
    assert settings.listener.allowed_callers == ()
    assert settings.effective_database_url == f"sqlite:///{tmp_path}/cxr-triage-data/cxr-triage.sqlite"
    assert settings.broker_url is None
    data = Path("cxr-triage-data")
    assert settings.effective_destinations == (FolderDestination(kind="folder", name="flags", path=data / "flags"),)
    assert (settings.spool_dir, settings.broker_dir) == (data / "spool", data / "broker")
    assert not settings.shadow


def test_a_toml_file_sets_sections_and_destinations(file: Path) -> None:
    """The file of the manual is read as it is written there."""
    file.write_text("""
        data_dir = "/srv/cxr"
        study_quiet_seconds = 5
        shadow = true
        [listener]
        port = 104
        allowed_callers = ["PACS1", "PACS 2"]
        [[destinations]]
        name = "pacs"
        kind = "dicom"
        ae_title = "ORTHANC"
        host = "127.0.0.1"
        port = 4242
        [[destinations]]
        name = "flags"
        kind = "folder"
        path = "/srv/flags"
    """)
    settings = load_settings(file)
    assert (settings.data_dir, settings.study_quiet_seconds, settings.shadow) == (Path("/srv/cxr"), 5, True)
    assert (settings.listener.port, settings.listener.ae_title) == (104, "CXRTRIAGE")
    assert settings.listener.allowed_callers == ("PACS1", "PACS 2")
    assert settings.effective_destinations == (
        DicomDestination(kind="dicom", name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=4242),
        FolderDestination(kind="folder", name="flags", path=Path("/srv/flags")),
    )


def test_the_environment_stands_over_the_file_key_by_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`CXR_LISTENER__PORT` changes the port and leaves the section's other keys to the file."""
    file.write_text('batch_size = 8\ndevice = "cpu"\n[listener]\nport = 104\nae_title = "FILM"\n')
    monkeypatch.setenv("CXR_BATCH_SIZE", "32")
    monkeypatch.setenv("CXR_LISTENER__PORT", "2104")
    settings = load_settings(file)
    assert (settings.batch_size, settings.device) == (32, "cpu")
    assert (settings.listener.port, settings.listener.ae_title) == (2104, "FILM")


def test_destinations_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without a file can name its destinations."""
    monkeypatch.setenv("CXR_DESTINATIONS", '[{"name": "out", "kind": "folder", "path": "/out"}]')
    assert load_settings().effective_destinations == (FolderDestination(kind="folder", name="out", path=Path("/out")),)


def test_an_empty_list_of_destinations_is_not_the_default(file: Path) -> None:
    """Who says that results go nowhere gets no folder."""
    file.write_text("destinations = []")
    assert load_settings(file).effective_destinations == ()


def test_the_named_file_is_handed_to_child_processes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative --config is found by children that run elsewhere."""
    file.write_text("batch_size = 9")
    load_settings(Path("worker.toml"))
    monkeypatch.chdir("/")
    assert load_settings().batch_size == 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[listener]\nport = 70000", "listener.port"),
        ("[listener]\nae_title = 'SEVENTEEN LETTERS'", "listener.ae_title"),
        ("[listener]\nae_title = '   '", "listener.ae_title"),
        ("[listener]\nallowed_callers = ['A', 'B\\\\C']", "listener.allowed_callers.1"),
        ("study_quiet_seconds = -1", "study_quiet_seconds"),
        ("batch_size = 'many'", "batch_size"),
        ("log_level = 'LOUD'", "log_level"),
        ("bacth_size = 4", "bacth_size"),
        ("[listener]\nprot = 104", "listener.prot"),
        ("[[destinations]]\nkind = 'folder'\nname = 'a'", "destinations.0.folder.path"),
        ("[[destinations]]\nkind = 'pigeon'\nname = 'a'", "destinations.0"),
        ("[[destinations]]\nkind = 'folder'\nname = 'a b'\npath = '/x'", "destinations.0.folder.name"),
        ("[[destinations]]\nname = 'a'\npath = '/x'", "destinations.0"),
        ("study_quiet_seconds = inf", "study_quiet_seconds"),
        ("screen_within_minutes = 1e300", "screen_within_minutes"),
        ("lease_seconds = inf", "lease_seconds"),
        ("retry_seconds = inf", "retry_seconds"),
        ("retry_max_seconds = 1e18", "retry_max_seconds"),
        ("sweep_seconds = nan", "sweep_seconds"),
        ("[listener]\nidle_seconds = inf", "listener.idle_seconds"),
        ("[listener]\nassociation_seconds = inf", "listener.association_seconds"),
        ("[listener]\nhost = ''", "listener.host"),
        ("[[destinations]]\nkind = 'hl7'\nname = 'a'\nhost = 'ris..example'\nport = 1", "destinations.0.hl7.host"),
        ("[[destinations]]\nkind = 'hl7'\nname = 'a'\nhost = ' ris'\nport = 1", "destinations.0.hl7.host"),
        ("[listener]\nallowed_networks = ['10.0.0.1/8']", "listener.allowed_networks.0"),
        ("[listener]\nallowed_networks = [10]", "listener.allowed_networks.0"),
        ("[listener]\nmetrics_port = 9464", "listener"),
        ("[metrics]\nport = 0", "metrics.port"),
        ("[retention]\nraw_days = inf", "retention.raw_days"),
        ("[retention]\nprepared_days = 1e6", "retention.prepared_days"),
        ("[storage_commitment]\nenabled = true", "storage_commitment"),
        ("[storage_commitment]\ncallers = [{ae_title='A', host='', port=1}]", "storage_commitment.callers.0.host"),
        (
            "[storage_commitment]\ncallers = [{ae_title='A', host='h', port=1}, {ae_title='A ', host='i', port=1}]",
            "storage_commitment",
        ),
        ("[reconciliation]\nmodalities = []", "reconciliation.modalities"),
        ('rescreen_at = "25:00"', "rescreen_at"),
        ("rescreen_deliver_days = 0", "rescreen_deliver_days"),
        ("[reconciliation]\nmodalities = ['cr']", "reconciliation.modalities.0"),
        ("[reconciliation]\nmodalities = ['CR', 'DX\\\\CR']", "reconciliation.modalities.1"),
        ("[reconciliation]\ntimeout_seconds = inf", "reconciliation.timeout_seconds"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_that_names_the_key(file: Path, text: str, told: str) -> None:
    """The operator is told which key to mend."""
    message = refusal(file, text)
    assert f" {told}: " in message
    assert "\n" not in message


def test_a_network_with_host_bits_is_told_as_an_operator_writes_it(file: Path) -> None:
    """The line says what is wrong with which network, and nothing of the parser."""
    message = refusal(file, "[listener]\nallowed_networks = ['10.0.0.0/8', '10.0.0.1/8']")
    assert message.count("listener.allowed_networks") == 1
    assert "10.0.0.1/8 has host bits set; write it like 10.0.0.0/8" in message


def test_every_wrong_key_is_told_at_once(file: Path) -> None:
    """Two mistakes need one start, not two."""
    message = refusal(file, "batch_size = 0\nmax_attempts = 0")
    assert "batch_size: " in message
    assert "max_attempts: " in message


def test_two_destinations_of_one_name_are_refused(file: Path) -> None:
    """The outbox knows a destination by its name."""
    folder = "[[destinations]]\nkind = 'folder'\nname = 'a'\npath = '/x'\n"
    assert "destinations: every destination needs a name of its own" in refusal(file, folder * 2)


@pytest.mark.parametrize(
    "kind",
    [
        "kind = 'hl7'\nhost = 'ris'\nport = 1",
        "kind = 'dicomweb'\nurl = 'https://pacs'",
        "kind = 'webhook'\nurl = 'https://hook'\nsecret = 'a key of sixteen'",  # pragma: allowlist secret
    ],
)
def test_a_sender_must_end_before_its_lease(file: Path, kind: str) -> None:
    """Else sender after sender would be held by one server that never answers, until none is left for the others."""
    destination = f"[[destinations]]\nname = 'slow'\n{kind}\ntimeout_seconds = "
    assert "destination slow: timeout_seconds" in refusal(file, f"{destination}41")
    file.write_text(f"lease_seconds = 123\n{destination}41")
    assert load_settings(file).lease_seconds == 123


@pytest.mark.parametrize(
    "wrong",
    [
        "kind = 'webhook'\nurl = 'https://hook'\nsecret = 'hush'",  # pragma: allowlist secret
        "kind = 'webhook'\nurl = 'https://me:hush@hook'\nsecret = 'a key of sixteen'",  # pragma: allowlist secret
        "kind = 'dicomweb'\nurl = 'https://pacs'\ntoken = 'hush hush'",  # pragma: allowlist secret
    ],
)
def test_a_wrong_secret_is_in_no_traceback(file: Path, wrong: str) -> None:
    """A worker of Celery's that cannot start logs the whole chain of what was raised."""
    file.write_text(f"[[destinations]]\nname = 'a'\n{wrong}")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file)
    assert "hush" not in "".join(traceback.format_exception(raised.value))


def test_a_wrong_environment_variable_is_told_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is no JSON, and a nested key that does not exist, are one line each."""
    monkeypatch.setenv("CXR_DESTINATIONS", "pacs")
    with pytest.raises(ConfigurationError, match=r"\A[^\n]*destinations[^\n]*\Z"):
        load_settings()
    monkeypatch.delenv("CXR_DESTINATIONS")
    monkeypatch.setenv("CXR_LISTENER__PROT", "104")
    with pytest.raises(ConfigurationError, match=r"\A[^\n]*listener\.prot: [^\n]*\Z"):
        load_settings()


def test_broken_toml_is_told_with_file_and_line(file: Path) -> None:
    """The operator is told where the file stops being TOML."""
    message = refusal(file, "batch_size = 4\nlistener = [\nport = 1")
    assert message.startswith(f"settings file {file}: not valid TOML: ")
    assert "line 3" in message
    assert "\n" not in message


def test_a_file_that_is_no_text_is_told(file: Path) -> None:
    """A settings file in another encoding than UTF-8 is a line, not a traceback."""
    file.write_bytes("[listener]\nae_title = 'R\xd6NTGEN'".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"\Asettings file [^\n]*worker\.toml: not valid TOML: [^\n]*\Z"):
        load_settings(file)


@pytest.mark.parametrize("place", ["argument", "environment"])
def test_a_missing_file_is_told_by_its_name(file: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A typing error in --config or CXR_CONFIG does not start a service with defaults."""
    if place == "environment":
        monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    with pytest.raises(ConfigurationError, match=r"worker\.toml: not found"):
        load_settings(file if place == "argument" else None)


def test_secrets_are_masked_wherever_settings_are_printed(file: Path) -> None:
    """Passwords in URLs appear in no repr, str or dump; who needs them asks."""
    database = "postgresql+psycopg://u:hunter2@db/x"  # pragma: allowlist secret
    broker = "redis://:hunter2@mq"  # pragma: allowlist secret
    file.write_text(f"database_url = '{database}'\nbroker_url = '{broker}'")
    settings = load_settings(file)
    printed = f"{settings!r} {settings!s} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in printed
    assert settings.effective_database_url == database


def test_a_refused_secret_is_not_repeated(file: Path) -> None:
    """The line about a wrong URL shows the key and not the value."""
    message = refusal(file, "database_url = ['hunter2']")
    assert "database_url" in message
    assert "hunter2" not in message


def test_settings_cannot_be_changed_after_the_start() -> None:
    """They are read once, then frozen, sections too."""
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.batch_size = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.listener.port = 1  # type: ignore[misc]


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that looks like ours and is no setting would otherwise be ignored without a word."""
    monkeypatch.setenv("CXR_DATBASE_URL", "postgresql+psycopg://somewhere/x")
    with pytest.raises(ConfigurationError, match="CXR_DATBASE_URL: no such setting; did you mean CXR_DATABASE_URL"):
        load_settings()


@pytest.mark.parametrize("name", ["CXR_TRIAGE_PORT", "CXR_TRIAGE_SERVICE_HOST", "CXR_SHARED_DATA"])
def test_variables_of_others_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container platform names variables after its services; they are no settings and no misspelling."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:11112")
    assert load_settings().listener.port == 11112
