"""pytest with nbval as a grader, started quickly: python -m looplab_nbval --nbval-lax NOTEBOOK."""

import sys

from looplab_nbval.quick import start_quickly

start_quickly()

import pytest  # noqa: E402

sys.exit(pytest.main(["-p", "nbval.plugin", "-p", "looplab_nbval.plugin", *sys.argv[1:]]))
