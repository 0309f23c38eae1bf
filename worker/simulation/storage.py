"""Disk and network that a site needs."""

from dataclasses import dataclass

from worker.simulation.site import Site

PREPARED_BYTES = 43_000
SQL_BYTES_PER_FILM = 7_000  # measured: one result, one destination
RAW_DAYS, PREPARED_DAYS = 14, 400


@dataclass(frozen=True, slots=True)
class Storage:
    """In GB (10^9 bytes) and Mbit/s.

    Attributes:
        spool_gb: received films of `RAW_DAYS`.
        prepared_gb: prepared images of `PREPARED_DAYS`, in SQL.
        sql_gb_per_year: all other rows of a year; they are kept.
        network_mbit: received in the busiest hour; the same again where films are prepared on another host.
    """

    spool_gb: float
    prepared_gb: float
    sql_gb_per_year: float
    network_mbit: float


def storage_for(site: Site) -> Storage:
    """Return what the default retention keeps, if every film is in scope and prepared."""
    films = site.studies_per_day * site.images_per_study
    return Storage(
        spool_gb=films * site.image_mb * RAW_DAYS / 1e3,
        prepared_gb=films * PREPARED_BYTES * PREPARED_DAYS / 1e9,
        sql_gb_per_year=films * SQL_BYTES_PER_FILM * 365 / 1e9,
        network_mbit=site.busy_studies_per_second * site.images_per_study * site.image_mb * 8,
    )
