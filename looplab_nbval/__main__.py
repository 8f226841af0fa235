"""pytest with nbval as a grader, started quickly: python -m looplab_nbval --nbval-lax NOTEBOOK."""

import sys

# With this package at hand jsonschema builds a grammar of internationalised addresses, 1.6 seconds
# of every run, for a format that no notebook has; without it jsonschema goes on as well.
sys.modules.setdefault("rfc3987_syntax", None)

import pytest  # noqa: E402

sys.exit(pytest.main(["-p", "nbval.plugin", "-p", "looplab_nbval.plugin", *sys.argv[1:]]))
