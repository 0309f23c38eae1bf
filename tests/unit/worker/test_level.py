"""What each migration must declare, and which levels a version works on."""

import pytest
from alembic.script import Script, ScriptDirectory

from worker.errors import ConfigurationError
from worker.level import LEVEL, OLDEST_LEVEL, Standing, require_standing
from worker.schema import _config

FIRST_THAT_DECLARES = "0006"


def migrations() -> dict[str, Script]:
    """Every migration of this version by its level."""
    return {script.revision: script for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def test_this_version_names_the_last_migration() -> None:
    """Else it would refuse the schema that it has just made, or a later one would not be known as such."""
    assert ScriptDirectory.from_config(_config()).get_heads() == [LEVEL]
    assert OLDEST_LEVEL in migrations()


def test_every_migration_declares_the_oldest_level_that_still_works() -> None:
    """One that exists, is not later than the migration's own, and never falls: what was taken away stays away."""
    declared = {
        level: script.module.oldest_level for level, script in migrations().items() if level >= FIRST_THAT_DECLARES
    }
    assert declared
    assert set(declared.values()) <= set(migrations())
    assert all(oldest <= level for level, oldest in declared.items())
    in_order = [declared[level] for level in sorted(declared)]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize(
    "standing",
    [Standing(OLDEST_LEVEL), Standing(LEVEL, LEVEL, "1"), Standing("9999", LEVEL, "9"), Standing("9999", "0001", "9")],
)
def test_a_level_within_the_range_is_worked_on(standing: Standing) -> None:
    """From the oldest that this version names to the latest that still names this version."""
    require_standing(standing)


@pytest.mark.parametrize(("standing", "level"), [(None, "none"), (Standing("0001"), "0001")])
def test_an_older_database_is_to_be_migrated(standing: Standing | None, level: str) -> None:
    """The one line says at which level it is and what to run."""
    with pytest.raises(ConfigurationError, match=rf"at level {level}, .*: run `cxr-triage migrate`"):
        require_standing(standing)


@pytest.mark.parametrize("standing", [Standing("9999", "9998", "9.1.0"), Standing("9999")])
def test_a_newer_database_that_no_longer_takes_this_version_asks_for_another(standing: Standing) -> None:
    """The one line names the version to install, as far as the database says; migrating would not help."""
    with pytest.raises(ConfigurationError, match="too old for the database, which version") as refused:
        require_standing(standing)
    message = str(refused.value)
    assert (standing.version or "unknown") in message
    assert "level 9999" in message
    assert "cxr-triage migrate" not in message
