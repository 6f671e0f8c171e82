"""Names of weights as wrappers and trainers write them."""

import pytest

from hgg_pyg.io.weights import innermost, own_names

OWN = ("conv.weight", "conv.bias", "model.scale")


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "module.{}",
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.{}",
        "model.{}",
        "state_dict.model.{}",
        "ema.module.{}",
        "_fsdp_wrapped_module.{}",
    ],
)
def test_prefixes_are_understood(form):
    found = {form.format(name): index for index, name in enumerate(OWN)}
    assert own_names(found, OWN) == {name: index for index, name in enumerate(OWN)}


def test_wrappers_within_a_network_are_understood():
    assert own_names({"conv._orig_mod.weight": 1, "conv.bias": 2}, OWN) == {"conv.weight": 1, "conv.bias": 2}


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"other.weight": 1},  # of another network
        {"model.other": 1, "ema.other": 2},  # of two: which one is not known
        {"module.conv.weight": 1, "conv.weight": 2},  # two would become one
        {"module": 1},
    ],
)
def test_other_names_stay(found):
    assert own_names(found, OWN) == found


def test_names_that_a_network_has_itself_stay():
    assert own_names({"module.weight": 1}, ("module.weight",)) == {"module.weight": 1}


def test_the_weights_in_what_a_trainer_saved():
    weights = {"conv.weight": 1}
    assert innermost({"step": 3, "state_dict": {"model": weights}}) == weights
    assert innermost(weights) == weights
    both = {"model": weights, "ema": {"conv.weight": 2}}
    assert innermost(both) == both
    assert innermost([1]) == [1]
