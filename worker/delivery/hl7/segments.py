"""The segments that we send, and what each of their fields holds (HL7 v2.5.1 chapters 2, 3, 4 and 7).

A field that is not named here is empty. The conformance statement's table is written from this.
"""

from collections.abc import Mapping

from worker.delivery.hl7.encoding import ENCODING_CHARACTERS, FIELD

LAYOUT: Mapping[str, Mapping[int, str]] = {
    "MSH": {
        3: "sending application: `sending_application`",
        4: "sending facility: `sending_facility`",
        5: "receiving application: `receiving_application`",
        6: "receiving facility: `receiving_facility`",
        7: "when the result was made, UTC with offset `+0000`",
        9: "message type: `ORU^R01^ORU_R01`",
        10: "control ID: 20 characters, the same for the same message, another for any other",
        11: "processing ID: `processing_id`",
        12: "version ID: `2.5.1`",
        18: "character set: `character_set`",
    },
    "PID": {
        1: "set ID: `1`",
        3: "Patient ID, with its assigning authority (CX.4): Issuer of Patient ID, and Universal Entity ID with its "
        "type of Issuer of Patient ID Qualifiers Sequence, if the image states them",
        5: "Patient's Name as XPN of type `L`, each component group a repetition (`A`, `I`, `P`); `^^^^^^U` if empty",
        7: "Patient's Birth Date",
        8: "Patient's Sex: `M`, `F`, `O`",
    },
    "OBR": {
        1: "set ID: `1`",
        2: "Placer Order Number of the imaging service request, if the image states it",
        3: "Filler Order Number of the imaging service request, if the image states it",
        4: "Procedure Code Sequence if the image states it; as its alternative, or alone, SCT 399208008 (Plain X-ray "
        "of chest), or 363679005 (Imaging procedure) where no image was screened",
        7: "Study Date and Time; to the second only where Timezone Offset From UTC is stated, else the day",
        18: "Accession Number",
        19: "Requested Procedure ID, if the image states it",
        22: "when the result was made",
        24: "diagnostic service section: `RAD`",
        25: "result status: `result_status`, `P` or `R`, never final",
    },
    "OBX": {
        1: "set ID: 1, 2, …",
        2: "value type",
        3: "what is stated, see below",
        4: "sub-ID: `1` for the study, `1.1`, `1.2`, … for its images",
        5: "the statement",
        6: "unit: `%^Percent^UCUM` of a probability",
        8: "abnormal flag: `A` with a finding, else empty; never `N`",
        11: "result status: as OBR-25",
        14: "as OBR-7",
        19: "when the result was made",
    },
}


def segment(name: str, fields: Mapping[int, str]) -> str:
    """Lay out a segment.

    Args:
        name: a segment of `LAYOUT`.
        fields: composed fields by position; those of `LAYOUT` that are left out are empty.

    Raises:
        KeyError: if a field is not in `LAYOUT`.
    """
    places = LAYOUT[name]
    unknown = fields.keys() - places.keys()
    if unknown:
        raise KeyError(f"{name} has no field {sorted(unknown)} in the layout")
    # MSH-1 is the first separator itself, MSH-2 what follows it.
    head = [name, ENCODING_CHARACTERS] if name == "MSH" else [name]
    first = 3 if name == "MSH" else 1
    return FIELD.join([*head, *(fields.get(place, "") for place in range(first, max(places) + 1))])
