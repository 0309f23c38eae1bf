"""Which of several offered transfer syntaxes is taken."""

import pytest
from pydicom.uid import JPEG2000, UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE

from tests.servers.door import door
from tests.servers.ports import LOOPBACK

UNKNOWN = UID("1.2.840.10008.1.2.4.100")  # MPEG2


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([JPEG2000, ExplicitVRLittleEndian], JPEG2000),
        ([ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000], ImplicitVRLittleEndian),
        ([UNKNOWN, JPEG2000, ExplicitVRLittleEndian], JPEG2000),
    ],
)
def test_the_first_that_the_caller_names_and_we_know_is_taken(offered: list[UID], taken: UID) -> None:
    """An archive that holds a compressed film and cannot unpack it names its syntax first."""
    entity = AE()
    entity.add_requested_context(ComputedRadiographyImageStorage, offered)
    with door() as inside:
        association = entity.associate(LOOPBACK, inside.port)
        (context,) = association.accepted_contexts
        association.release()
    assert context.transfer_syntax == [taken]
