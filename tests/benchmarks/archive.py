"""An archive of prepared images in PostgreSQL, made by the database itself, for the benchmark of re-screening."""

import numpy as np
import zstandard
from numpy.typing import NDArray
from sqlalchemy import text

from worker.db import Database

PATTERNS = 64  # different films; each row has its own copy of one
BEFORE = {"sha256": "0" * 64, "name": "resnet50", "version": "0.9.0"}

_FILL = (
    """INSERT INTO studies (study_instance_uid, revision, concluded_revision, synthetic, corrections, received_at,
           last_received_at, due_at)
       SELECT '2.25.' || n, 1, 1, false, 0, now() - interval '1 day', now(), now() FROM generate_series(1, :n) n""",
    """INSERT INTO images (study_id, series_instance_uid, sop_class_uid, sop_instance_uid, transfer_syntax_uid,
           content_sha256, calling_ae_title, state, warnings, withdrawn, urgency, attempts, received_at)
       SELECT id, study_instance_uid || '.0', '1.2', study_instance_uid || '.1', '1.2', lpad(id::text, 64, '0'),
           'BENCH', 'scored', '[]', false, 20, 1, received_at FROM studies""",
    """INSERT INTO scores (image_id, content_sha256, frame, origin, model_version_id, logit, probability, threshold,
           threshold_logit, flagged, strange, urgency, attempts, created_at, scored_at)
       SELECT id, content_sha256, 1, 'live', :previous, -2, 0.1, 0.3, -0.8, false, false, 20, 1, now(), now()
       FROM images""",
    """INSERT INTO prepared_images (content_sha256, frame, input_spec_sha256, pixels, created_at)
       SELECT content_sha256, 1, :spec, patterns.pixels, now()
       FROM images JOIN patterns ON patterns.n = images.id % :patterns""",
    "ANALYZE",
)


def film_like(seed: int, size: int) -> NDArray[np.uint8]:
    """Smooth shading with fine grain; compressed as large as a prepared chest film, about 40 kB."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(8, 8)).repeat(size // 8, axis=0).repeat(size // 8, axis=1)
    grain = random.normal(scale=2, size=(size, size))
    grey: NDArray[np.uint8] = np.clip(120 + 40 * coarse + grain, 0, 255).astype(np.uint8)
    return grey


def fill(database: Database, count: int, *, size: int, spec_sha256: str, flat: bool) -> list[NDArray[np.uint8]]:
    """Make `count` studies with one scored film each.

    Args:
        database: migrated and empty.
        count: how many.
        size: of the films.
        spec_sha256: of the input that they were prepared for.
        flat: films of one grey level, which take no room on disk.

    Returns:
        The different films, uint8 (size, size).
    """
    level = np.zeros((size, size), np.uint8)
    films = [level + np.uint8(seed) if flat else film_like(seed, size) for seed in range(PATTERNS)]
    with database.begin() as session:
        add = text(
            "INSERT INTO model_versions (sha256, name, version, location, champion, registered_at) "
            "VALUES (:sha256, :name, :version, 'site', false, now()) RETURNING id"
        )
        previous = session.scalar(add, BEFORE)
        session.execute(text("CREATE TEMPORARY TABLE patterns (n integer, pixels bytea) ON COMMIT DROP"))
        rows = [{"n": n, "pixels": zstandard.compress(film.tobytes())} for n, film in enumerate(films)]
        session.execute(text("INSERT INTO patterns VALUES (:n, :pixels)"), rows)
        values = {"n": count, "previous": previous, "spec": spec_sha256, "patterns": PATTERNS}
        for statement in _FILL:
            session.execute(text(statement), {name: v for name, v in values.items() if f":{name}" in statement})
    return films
