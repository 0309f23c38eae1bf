"""Which destination is told of which result."""

from collections.abc import Set as AbstractSet

from worker.destinations import Destination, FolderDestination, WebhookDestination
from worker.domain import Flag, Origin


def wants(
    destination: Destination,
    flag: Flag,
    *,
    in_scope: bool,
    callers: AbstractSet[str] = frozenset(),
    told: bool = False,
) -> bool:
    """Tell whether a result goes to a destination.

    Args:
        destination: where to.
        flag: the result.
        in_scope: whether the study has at least one frontal chest radiograph.
        callers: the AE titles that the study's images came from.
        told: whether an earlier result of the study goes there.

    Returns:
        A folder and a webhook get every result. A PACS or RIS gets those of in-scope studies, and of those that it was
        told of before: one with a priority as soon as it is known, whatever its reason, every one when complete, and
        the withdrawal of a flag.
        `only`, `callers` and `complete_only` of the destination change that; who was told of a study by a caller keeps
        hearing of it. Nobody gets a result of shadow screening, except who was told of a flag that is withdrawn.
    """
    if flag.withdrawn and told:
        return True
    if flag.origin is Origin.SHADOW or not (told or _is_from(destination.callers, callers)):
        return False
    if destination.complete_only and not flag.complete:
        return False
    if destination.only == "flagged":
        return flag.priority is not None
    if destination.only == "all" or wants_every_result(destination):
        return True
    due = flag.complete or flag.priority is not None or flag.withdrawn
    return (in_scope or told) and due


def wants_every_result(destination: Destination) -> bool:
    """Tell whether a destination wants a result that is sent after a later one of its study: each is a record there."""
    return isinstance(destination, FolderDestination | WebhookDestination)


def _is_from(wanted: tuple[str, ...], callers: AbstractSet[str]) -> bool:
    return not wanted or not callers.isdisjoint(title.strip() for title in wanted)
