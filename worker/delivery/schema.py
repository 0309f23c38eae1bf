"""The JSON Schema of the flag.

After a change of `worker.domain.Flag`: `python -m worker.delivery.schema > worker/delivery/flag.schema.json`.
"""

import json
import sys

from worker.domain import Flag


def flag_schema() -> str:
    """Return the JSON Schema (draft 2020-12) of the JSON flag, as it lies in `flag.schema.json`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Flag.model_json_schema(by_alias=True, mode="serialization"),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(flag_schema())
