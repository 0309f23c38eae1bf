"""Labelled films of every layout, and one clear error for each way they can be wrong."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_io.phantom import phantom_dataset
from training.datasets import find_cases, require_both_classes
from training.errors import DataError
from training.films import Unreadable, load_films, write_unreadable
from worker.model.input_spec import InputSpec


def _film(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)


def test_class_folders(tmp_path: Path) -> None:
    """The folder is the label, the known file name the patient, hidden files are none."""
    for name in ("NORMAL/IM-0115-0001.png", "PNEUMONIA/person7_virus_1.png", "PNEUMONIA/.thumbs"):
        _film(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("")
    cases = find_cases(tmp_path)
    assert [(case.name, case.label, case.patient) for case in cases] == [
        ("NORMAL/IM-0115-0001.png", 0, "kermany/normal/115"),
        ("PNEUMONIA/person7_virus_1.png", 1, "kermany/virus/7"),
    ]


def test_divided_folders_need_a_part(tmp_path: Path) -> None:
    """A part is taken when it is named; else the parts are listed."""
    _film(tmp_path / "train/NORMAL/a.png")
    _film(tmp_path / "val/NORMAL/b.png")
    assert [case.name for case in find_cases(tmp_path, "val")] == ["NORMAL/b.png"]
    with pytest.raises(DataError, match="divided into train, val"):
        find_cases(tmp_path)


def test_a_manifest(tmp_path: Path) -> None:
    """Labels may be words or digits; a patient may be stated."""
    for name in ("a.png", "b.png", "c.png"):
        _film(tmp_path / name)
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,label,patient,split\na.png,PNEUMONIA,4,train\nb.png,0,4,train\nc.png,normal,,test\n")
    cases = find_cases(manifest, "train")
    assert [(case.label, case.patient) for case in cases] == [(1, "stated/4"), (0, "stated/4")]
    assert find_cases(manifest)[2].patient == "file/c.png"


def test_a_stated_patient_is_the_same_in_every_table(tmp_path: Path) -> None:
    """Neither the folder nor the kind of table makes another patient of an id; a known file name goes before it."""
    for folder in ("new", "locked", "rsna"):
        for name in ("a.dcm", "00000061_012.png"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).touch()
        (tmp_path / folder / "m.csv").write_text("path,label,patient\na.dcm,1,a\n00000061_012.png,0,7\n")
    (tmp_path / "rsna" / "m.csv").write_text("patientId,Target\na,1\n")
    found = {folder: [case.patient for case in find_cases(tmp_path / folder / "m.csv")] for folder in ("new", "locked")}
    assert found == {"new": ["nih/61", "stated/a"], "locked": ["nih/61", "stated/a"]}
    assert [case.patient for case in find_cases(tmp_path / "rsna" / "m.csv")] == ["stated/a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,MAYBE\n", "line 2: label 'MAYBE' is neither NORMAL nor PNEUMONIA"),
        ("path,label\nmissing.png,1\n", "lists 1 files that are not there, first: missing.png"),
        ("file,label\na.png,1\n", "needs the columns path and label"),
        ("path,label\n", "holds no labelled films"),
        ("path,label,patient,split\na.png,1,9,train\na.png,1,9,test\n", "patient 9 is in train and in test"),
        ("path,label\na.png\n", "line 2: label ''"),
        ("path,label\n,1\n", "line 2 has no path"),
        ("", "needs the columns path and label, it has: none"),
        ("path,label,split\na.png,1,val\na.png,7,train\n", "line 3: label '7'"),
        ("path,label,split\na.png,1,val\n", "has no part train, only val"),
    ],
)
def test_a_wrong_manifest_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file, the line and what is wrong."""
    _film(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_cases(tmp_path / "m.csv", "train")


def test_a_table_of_another_alphabet_is_one_clear_error(tmp_path: Path) -> None:
    """Latin-1 is not guessed; the mark that spreadsheets put before UTF-8 is no part of a column's name."""
    _film(tmp_path / "ü.png")
    (tmp_path / "m.csv").write_bytes("path,label\nü.png,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="not in UTF-8"):
        find_cases(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("path , label\nü.png, 1\n", encoding="utf-8-sig")
    assert [case.label for case in find_cases(tmp_path / "m.csv")] == [1]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ([], "holds no labelled films; expected class folders NORMAL/ and PNEUMONIA/, a .csv"),
        (["normal"], "holds no labelled films"),
        (["NORMAL", "PNEUMONIA"], "NORMAL is empty; put the NORMAL films there"),
    ],
)
def test_empty_folders_are_one_clear_error(tmp_path: Path, folders: list[str], message: str) -> None:
    """A folder without films is no set of none."""
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=message):
        find_cases(tmp_path)


def test_a_path_that_leads_nowhere_is_one_clear_error(tmp_path: Path) -> None:
    """A file of another kind, and no file at all."""
    with pytest.raises(DataError, match=r"none\.zip is none of: class folders"):
        find_cases(tmp_path / "none.zip")
    with pytest.raises(DataError, match="cannot read the table"):
        find_cases(tmp_path / "none.csv")


def test_an_absent_class_is_told_before_anything_is_read(tmp_path: Path) -> None:
    """All data sets together need both; the files need not even be readable for it."""
    (tmp_path / "PNEUMONIA").mkdir()
    (tmp_path / "PNEUMONIA/a.png").write_bytes(b"no image")
    cases = find_cases(tmp_path)
    with pytest.raises(DataError, match="all 1 films for training are PNEUMONIA; add films that are NORMAL"):
        require_both_classes(cases, "training")
    require_both_classes([*cases, replace(cases[0], label=0)], "training")


def test_files_of_one_name_in_two_parts_are_two_patients(tmp_path: Path) -> None:
    """Numbers that start again in every part do not make one patient of many."""
    _film(tmp_path / "train/NORMAL/1.png")
    _film(tmp_path / "test/NORMAL/1.png")
    assert find_cases(tmp_path, "train")[0].patient != find_cases(tmp_path, "test")[0].patient


def test_an_archive_is_prepared_like_any_other_film(tmp_path: Path) -> None:
    """A 28-pixel film of an archive and the same film as a PNG become the same array."""
    dice = np.random.default_rng(0)
    films = dice.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train_images=films, train_labels=np.array([[0], [1], [1]]))
    loaded, unreadable = load_films(find_cases(tmp_path / "set.npz"), InputSpec())
    (tmp_path / "NORMAL").mkdir()
    Image.fromarray(films[0]).save(tmp_path / "NORMAL/a.png")
    single, _ = load_films(find_cases(tmp_path), InputSpec())
    assert unreadable == []
    assert loaded.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(loaded.pixels[0], single.pixels[0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros(3)}, "has no arrays train_images"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.zeros(3)}, "differ in length"),
        ({"train_images": np.zeros((1, 4, 4), np.uint8), "train_labels": np.full(1, 7)}, "other values than 0 and 1"),
        (
            {"train_images": np.zeros((1, 4, 4), np.uint8), "train_labels": np.array([{}])},
            "pickled arrays are not read",
        ),
        ({"train_images": np.zeros((1, 4, 4), np.uint8)}, "has no array train_labels"),
    ],
)
def test_a_wrong_archive_is_one_clear_error(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    """No array is guessed, and nothing is unpickled."""
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=message):
        find_cases(tmp_path / "set.npz")


def test_a_file_that_is_no_archive_is_one_clear_error(tmp_path: Path) -> None:
    """Damaged bytes under the right name are named as such."""
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(DataError, match=r"no readable \.npz archive"):
        find_cases(tmp_path / "set.npz")


def test_unreadable_films_are_listed_and_the_others_kept(tmp_path: Path) -> None:
    """A broken file is left out by name; the progress counts it."""
    _film(tmp_path / "NORMAL/a.png")
    (tmp_path / "NORMAL/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    counted: list[int] = []
    films, unreadable = load_films(find_cases(tmp_path), InputSpec(), lambda: counted.append(1))
    assert (len(films), [film.name for film in unreadable], len(counted)) == (1, ["NORMAL/broken.png"], 2)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    """A set without one readable film stops the run."""
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "NORMAL/broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the 1 films could be read"):
        load_films(find_cases(tmp_path), InputSpec())


def test_unreadable_films_are_written_down(tmp_path: Path) -> None:
    """The list lies in the run's folder; a later run without such films leaves no old list behind."""
    write_unreadable([Unreadable("NORMAL/a.png", 'no, "image"')], tmp_path / "run")
    with (tmp_path / "run/unreadable.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["path", "cause"], ["NORMAL/a.png", 'no, "image"']]
    write_unreadable([], tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_several_frames_are_listed_as_unreadable(tmp_path: Path) -> None:
    """One label cannot speak for two frames."""
    (tmp_path / "NORMAL").mkdir()
    _film(tmp_path / "NORMAL/a.png")
    film = phantom_dataset(1, rows=16, columns=16)
    film.NumberOfFrames, film.PixelData = 2, film.PixelData * 2
    film.save_as(tmp_path / "NORMAL/b.dcm", enforce_file_format=True)
    films, unreadable = load_films(find_cases(tmp_path), InputSpec())
    assert len(films) == 1
    assert [(film.name, film.cause.partition(";")[0]) for film in unreadable] == [
        ("NORMAL/b.dcm", "the file has 2 frames")
    ]


def test_a_third_class_is_refused(tmp_path: Path) -> None:
    """Films whose folder is neither class are not left out in silence; what archivers leave behind is no class."""
    for name in ("NORMAL/a.png", "PNEUMONIA/b.png", "__MACOSX/c.png", "COVID/d.png"):
        _film(tmp_path / name)
    with pytest.raises(DataError, match="has the folders COVID beside NORMAL and PNEUMONIA"):
        find_cases(tmp_path)
    (tmp_path / "COVID/d.png").unlink()
    (tmp_path / "COVID").rmdir()
    assert len(find_cases(tmp_path)) == 2


def test_links_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    """A link to nothing, or to a folder, is told as unreadable like any other file."""
    _film(tmp_path / "data/NORMAL/a.png")
    _film(tmp_path / "more/b.png")
    (tmp_path / "data/NORMAL/gone.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "data/NORMAL/more").symlink_to(tmp_path / "more")
    films, unreadable = load_films(find_cases(tmp_path / "data"), InputSpec())
    assert films.names.tolist() == ["NORMAL/a.png"]
    assert [film.name for film in unreadable] == ["NORMAL/gone.png", "NORMAL/more"]


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Names are written into tables and reports, which are UTF-8; an hour of scoring shall not end in that."""
    _film(tmp_path / "NORMAL/a.png")
    (tmp_path / "NORMAL/a.png").rename(tmp_path / "NORMAL" / os.fsdecode(b"x\xff.png"))
    with pytest.raises(DataError, match="is not in UTF-8"):
        find_cases(tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_archive_is_one_clear_error(tmp_path: Path, *, compressed: bool) -> None:
    """Flipped bytes in an array are found by its checksum, and told."""
    dice = np.random.default_rng(0)
    arrays = {"test_images": dice.integers(0, 255, (4, 28, 28), np.uint8), "test_labels": np.array([0, 1, 0, 1])}
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", **arrays)
    blob = bytearray((tmp_path / "a.npz").read_bytes())
    blob[1000:1100] = bytes(100)
    (tmp_path / "a.npz").write_bytes(blob)
    with pytest.raises(DataError, match="array test_images is damaged"):
        find_cases(tmp_path / "a.npz")


def test_an_archive_with_a_number_for_films_is_refused(tmp_path: Path) -> None:
    """An array without rows has no length to compare with the labels'."""
    np.savez(tmp_path / "a.npz", test_images=np.array(3), test_labels=np.array([0, 1]))
    with pytest.raises(DataError, match="differ in length"):
        find_cases(tmp_path / "a.npz")
