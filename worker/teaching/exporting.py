"""One export: from verdicts in the database to a folder that `cxr-train` reads."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from worker.cases import JudgedStudy, Labelled, LeftOut, label_study
from worker.errors import ExportError
from worker.films import DamagedFilmError, unpack_film
from worker.model.input_spec import InputSpec
from worker.repository.judged import judged_studies, load_judged, load_pixels
from worker.service import Service
from worker.teaching.folder import ExportFolder, own_folder
from worker.teaching.pseudonyms import KEY_NAME, Pseudonyms, site_key

_Row = tuple[str, int, str, str]


@dataclass(slots=True)
class Tally:
    """What an export wrote: manifest rows, and how many studies and films were left out, by reason."""

    studies: int = 0
    rows: list[_Row] = field(default_factory=list)
    left_out: Counter[LeftOut] = field(default_factory=Counter)

    @property
    def positives(self) -> int:
        """Films with label 1."""
        return sum(row[1] for row in self.rows)


@dataclass(frozen=True, slots=True)
class Exporter:
    """Writes the cases that readers have judged.

    Attributes:
        service: settings and database.
        spec: what the model in service sees.
    """

    service: Service
    spec: InputSpec

    def export(self, since: datetime, until: datetime, output: Path) -> Tally:
        """Write every study with a verdict in [since, until) as prepared films with labels.

        The same database gives the same folder. No name in it, and no line, tells patient, study or date.

        Args:
            since: a verdict was given then or later; of a study that has one, all verdicts count.
            until: and before this.
            output: a new or empty folder, or that of an earlier export.

        Raises:
            ExportError: if the folder is somebody else's, the window is empty, or the site's key cannot be used.
            OSError: if something cannot be written.
        """
        if until <= since:
            raise ExportError("--until lies before --since: no day is left")
        names, tally = Pseudonyms(site_key(self.service.settings.data_dir / KEY_NAME)), Tally()
        with own_folder(output) as folder:
            for study in self._studies(since, until):
                self._export(study, names, folder, tally)
            folder.finish(tally.rows, _facts(tally))
        return tally

    def _studies(self, since: datetime, until: datetime) -> Iterator[JudgedStudy]:
        with self.service.database.read() as session:
            ids = judged_studies(session, since=since, until=until)
        for study_id in ids:
            with self.service.database.read() as session:
                yield load_judged(session, study_id)

    def _export(self, study: JudgedStudy, names: Pseudonyms, folder: ExportFolder, tally: Tally) -> None:
        labelled = label_study(study)
        if not isinstance(labelled, Labelled):
            tally.left_out[labelled] += 1
            return
        patient, before = names.patient(study.header, study.study_instance_uid), len(tally.rows)
        for frame in labelled.frames:
            if frame.burned_in:
                tally.left_out[LeftOut.BURNED_IN] += 1
                continue
            with self.service.database.read() as session:
                pixels = load_pixels(session, frame.content_sha256, frame.number, self.spec.sha256)
            if pixels is None:
                tally.left_out[LeftOut.GONE] += 1
                continue
            try:
                film = unpack_film(pixels, self.spec.size)
            except DamagedFilmError:
                tally.left_out[LeftOut.DAMAGED] += 1
                continue
            path = folder.add(names.film(frame.content_sha256, frame.number), film)
            tally.rows.append((path, labelled.label, patient, labelled.verdict.value))
        tally.studies += len(tally.rows) > before


def _facts(tally: Tally) -> dict[str, object]:
    return {
        "studies": tally.studies,
        "films": len(tally.rows),
        "positive": tally.positives,
        "negative": len(tally.rows) - tally.positives,
        "left_out": {reason.value: tally.left_out[reason] for reason in LeftOut},
    }
