"""The menu of released models: sizes that are known, and nothing chosen without a yes."""

import pytest
import torch

from looplab import trace
from looplab.widgets.model_menu import ModelMenu
from looplab.zoo import menu


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("huginn", 3_564_976_800),
        ("ifm", 303_579_648),
        ("ouro", 1_434_652_673),
        ("retrofit", 1_385_228_288),
    ],
)
def test_parameters_are_those_that_the_hub_counts(name, parameters):
    found = menu.cost(name)
    assert found.parameters == parameters
    assert found.memory == 4 * parameters
    assert menu.cost(name, dtype=torch.bfloat16).memory == 2 * parameters


def test_a_run_costs_what_its_layers_multiply(monkeypatch):
    small = menu.Released("a/b", 0.1, "MIT", menu.LoopedConfig(vocab=64, width=32, heads=2, core=2))
    monkeypatch.setitem(menu.RELEASED, "small", small)
    one, many = (menu.cost("small", tokens=10, loops=loops) for loops in (1, 5))
    layers = 2 * (4 * 32 * 32 + 2 * 32 * 128)  # matrices of two layers; norms add a little
    assert many.operations - one.operations == pytest.approx(4 * 2 * 10 * layers, rel=0.01)
    model = menu.LoopedTransformer(small.config)
    run = trace(model, torch.zeros(1, 10, dtype=torch.long), loops=5)
    assert many.trace == pytest.approx(run.nbytes, rel=0.01)
    assert one.seconds() > 0


def test_a_model_that_is_not_on_the_menu():
    with pytest.raises(ValueError, match="no model 'gpt' on the menu: it has huginn"):
        menu.cost("gpt")


def test_nothing_is_chosen_without_a_yes():
    choose = ModelMenu()
    assert repr(choose) == "ModelMenu(choice='miniatures')"
    assert choose.agreed.disabled
    choose.models.value = "ouro"
    assert choose.choice == "miniatures"
    for said in ("ByteDance/Ouro-1.4B", "2.9 GB", "5.7 GB of memory", "minutes here"):
        assert said in choose.told.value
    choose.agreed.value = True
    assert choose.choice == "ouro"
    choose.models.value = "huginn"  # another model is another question
    assert choose.choice == "miniatures" and "14.3 GB of memory" in choose.told.value
    choose.models.value = "miniatures"
    assert choose.agreed.disabled and "nothing is downloaded" in choose.told.value
