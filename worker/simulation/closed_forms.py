"""Mean waits of queues in closed form, for Poisson arrivals: what a simulation is held against.

Priority classes are given by their arrival rates, the most urgent first, and share one distribution of service times.
A wait is the time in the queue: from arrival to the end of the service, less the service itself. Rates and times are of
one unit, such as per minute and minutes.

Sources: A. Cobham, Priority Assignment in Waiting Line Problems, Operations Research 2 (1954) 70-76: equations 3 (one
server, any service time) and 6 (several servers, exponential); L. Kleinrock, Queueing Systems, volume 2 (1976), chapter
3: preemptive-resume and the conservation law; J. P. Buzen and A. B. Bondi, The Response Times of Priority Classes under
Preemptive Resume in M/M/m Queues, Operations Research 31 (1983) 456-465: exact for equal service rates. Applied to
triage: Y. L. E. Thompson et al., Applying queueing theory to evaluate wait-time-savings of triage algorithms, Queueing
Systems 108 (2024) 579-610, doi:10.1007/s11134-024-09927-w.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from worker.simulation.durations import Duration


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability that who arrives has to wait, of M/M/c.

    Args:
        servers: how many.
        offered: arrival rate times mean service time, in Erlang, below `servers`.

    Source: A. K. Erlang's formula C, by way of the recursion of his formula B, which cannot overflow.
    """
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return servers * blocked / (servers - offered * (1 - blocked))


def first_come(servers: int, rate: float, service: Duration) -> float | None:
    """Return the mean wait where who comes first is served first; None where no closed form is known.

    Known are one server with any service time (Pollaczek and Khinchine) and several with an exponential one (Erlang).
    """
    spare = 1 - rate * service.mean / servers
    if servers == 1:
        return rate * service.second_moment / 2 / spare
    if service.shape != "exponential":
        return None
    return erlang_c(servers, rate * service.mean) * service.mean / servers / spare


def non_preemptive(servers: int, rates: Sequence[float], service: Duration) -> list[float] | None:
    """Return the mean wait of each class where a service once begun is ended; None where no closed form is known.

    Source: Cobham (1954), equations 3 and 6.
    """
    together = first_come(servers, sum(rates), service)
    if together is None:
        return None
    loads = [0.0, *accumulate(rate * service.mean / servers for rate in rates)]
    residual = together * (1 - loads[-1])
    return [residual / ((1 - above) * (1 - upto)) for above, upto in pairwise(loads)]


def preemptive_resume(servers: int, rates: Sequence[float], service: Duration) -> list[float] | None:
    """Return the mean wait, interruptions included, of each class where a more urgent arrival interrupts a service.

    None where no closed form is known. An empty class is given the wait of the classes above it together.

    Source: Kleinrock, volume 2, chapter 3, for one server; Buzen and Bondi (1983) for several: to the classes down to
    some level the others do not exist, and with equal exponential service times the number of them in the system does
    not depend on who of them is served first.
    """
    if servers == 1:
        return _preemptive_alone(rates, service)
    if service.shape != "exponential":
        return None
    waits, before = [], 0.0
    for rate, upto in zip(rates, accumulate(rates), strict=True):
        of_all = upto * (first_come(servers, upto, service) or 0.0)
        waits.append((of_all - before) / rate if rate else of_all / upto if upto else 0.0)
        before = of_all
    return waits


def _preemptive_alone(rates: Sequence[float], service: Duration) -> list[float]:
    loads = [0.0, *accumulate(rate * service.mean for rate in rates)]
    return [
        service.mean * above / (1 - above) + upto / service.mean * service.second_moment / 2 / (1 - above) / (1 - upto)
        for above, upto in pairwise(loads)
    ]
