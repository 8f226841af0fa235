"""Programs that read notebooks, started without what they do not need."""

import sys


def start_quickly():
    """Before nbformat is imported: keep jsonschema from building a grammar of web addresses.

    That takes it almost two seconds, for a format that no notebook has; where the grammar's package
    is missing, jsonschema goes on without.
    """
    sys.modules.setdefault("rfc3987_syntax", None)
