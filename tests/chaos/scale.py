"""How long the chaos lasts: a short form in every `make test`, the long one in `make chaos`."""

import os
from dataclasses import dataclass
from typing import Self

LONG = "CHAOS_LONG"  # environment: not empty means the long form


@dataclass(frozen=True)
class Scale:
    """Bounds of every load loop, in count and time.

    Attributes:
        seed: of every random choice; CHAOS_SEED.
        senders: that push at the same time.
        kills: processes killed, of each service; CHAOS_ROUNDS.
        kill_within: seconds between two kills, at most.
        broker_losses: times Redis is killed with all it holds.
        outage_seconds: PostgreSQL is away for this long.
        refusals: objects refused by a full disk.
        waiting_studies: studies that wait for a destination which is down.
        callers: associations at once.
        departures: callers that leave in the middle.
        malformed: mutated conversations; CHAOS_PDUS.
        clock_steps: times the clock is set back an hour.
        workers: of the services that are not shared by most tests; one that scores takes seconds to start, and without
            one films out of scope are pushed.
        broker_files: times foreign files are left in the broker's folder.
        objects: pushed at most by one load loop.
        pause: seconds between two pushes of one sender.
        seconds: that one load loop takes at most; CHAOS_SECONDS.
    """

    long: bool
    seed: int
    senders: int
    kills: int
    kill_within: float
    broker_losses: int
    outage_seconds: float
    refusals: int
    waiting_studies: int
    callers: int
    departures: int
    malformed: int
    clock_steps: int
    workers: tuple[str, ...]
    broker_files: int
    objects: int
    pause: float
    seconds: float

    @classmethod
    def from_environment(cls) -> Self:
        """Read the form and what overrides it."""
        if os.environ.get(LONG):
            return cls(
                long=True,
                seed=_number("CHAOS_SEED", 5),
                senders=3,
                kills=_number("CHAOS_ROUNDS", 200),
                kill_within=3,
                broker_losses=10,
                outage_seconds=20,
                refusals=500,
                waiting_studies=200,
                callers=64,
                departures=6400,
                malformed=_number("CHAOS_PDUS", 10_000),
                clock_steps=5,
                workers=("prepare", "score", "deliver"),
                broker_files=20,
                objects=20_000,
                pause=0.8,
                seconds=_number("CHAOS_SECONDS", 3600),
            )
        return cls(
            long=False,
            seed=_number("CHAOS_SEED", 5),
            senders=2,
            kills=5,
            kill_within=1,
            broker_losses=1,
            outage_seconds=3,
            refusals=10,
            waiting_studies=8,
            callers=64,
            departures=320,
            malformed=300,
            clock_steps=1,
            workers=("prepare", "deliver"),
            broker_files=1,
            objects=200,
            pause=0.4,
            seconds=60,
        )


def _number(variable: str, default: int) -> int:
    return int(os.environ.get(variable, default))
