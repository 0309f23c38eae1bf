"""Files that nobody else on the machine can read: films, names of patients, the database."""

import os

_UMASK = 0o077


def keep_files_private() -> None:
    """Let every file and folder that this process makes from now on be its user's only: 0600 and 0700."""
    os.umask(_UMASK)
