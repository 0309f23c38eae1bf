"""Which destination is told of which result."""

from worker.domain import Flag, Origin
from worker.sections import Destination, DicomDestination


def wants(destination: Destination, flag: Flag, *, in_scope: bool) -> bool:
    """Tell whether a result goes to a destination.

    Args:
        destination: where to.
        flag: the result.
        in_scope: whether the study has at least one frontal chest radiograph.

    Returns:
        A folder gets every result. A PACS gets those of in-scope studies: a flagged one as soon as it is known, every
        one when complete. Nobody gets a result of shadow screening.
    """
    if flag.origin is Origin.SHADOW:
        return False
    if isinstance(destination, DicomDestination):
        return in_scope and flag.study_instance_uid is not None and (flag.complete or flag.priority is not None)
    return True
