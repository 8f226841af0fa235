"""Every example in the library's docstrings runs and gives what it says."""

import doctest
import importlib
import pkgutil
import random

import pytest
import torch

import looplab

MODULES = [
    module.name
    for module in pkgutil.walk_packages(looplab.__path__, "looplab.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", ["looplab", *MODULES])
def test_examples_in_docstrings(name):
    torch.manual_seed(0)
    random.seed(0)
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs={"torch": torch})
    assert found.failed == 0
