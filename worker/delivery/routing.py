"""Which destination is told of which result."""

from worker.domain import Flag, Origin
from worker.sections import Destination, DicomDestination


def wants(destination: Destination, flag: Flag, *, in_scope: bool, told: bool = False) -> bool:
    """Tell whether a result goes to a destination.

    Args:
        destination: where to.
        flag: the result.
        in_scope: whether the study has at least one frontal chest radiograph.
        told: whether an earlier result of the study goes there.

    Returns:
        A folder gets every result. A PACS gets those of in-scope studies, and of those that it was told of before: a
        flagged one as soon as it is known, every one when complete, and the withdrawal of a flag. Nobody gets a result
        of shadow screening, except who was told of a flag that is withdrawn.
    """
    if flag.origin is Origin.SHADOW:
        return told and flag.withdrawn
    if isinstance(destination, DicomDestination):
        due = flag.complete or flag.priority is not None or flag.withdrawn
        return (in_scope or told) and flag.study_instance_uid is not None and due
    return True
