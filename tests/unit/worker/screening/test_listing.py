"""Which files a command line means."""

import os
from pathlib import Path

from worker.screening.listing import find_files


def test_a_file_named_twice_is_listed_once_and_hidden_ones_only_by_name(tmp_path: Path) -> None:
    """Folders give what lies in them without hidden files; a file that was named is always meant."""
    film, hidden = tmp_path / "film.png", tmp_path / ".hidden.png"
    for path in (film, hidden):
        path.write_bytes(b"film")
    assert find_files([film, tmp_path]) == [film]
    assert find_files([hidden]) == [hidden]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    """Only files are listed; a link that leads nowhere is one that cannot be opened, and has its line."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    assert find_files([tmp_path]) == [tmp_path / "lost"]
