"""What a report says in sentences."""

import pytest

from sognet.analysis.findings import sentences, suggestions, warnings

DECAY = {
    "exponent": 1.11, "initial_exponent": 2.0, "r_min": 6.0, "r_max": 14.0, "coulomb_ratio": 0.0256, "misfit": 0.02,
    "status": "found",
}  # fmt: skip


def summary(force_rmse=33.04, share=0.3, **decay):
    return {
        "train": {"force_rmse": 30.0}, "val": {"force_rmse": force_rmse},
        "test": {"force_rmse": force_rmse, "energy_rmse": 1.2345}, "all": {"force_rmse": 31.0},
        "spread": {s: {"force_spread": 812.3, "force_r2": 0.99834, "energy_spread": 41.0, "energy_r2": 0.999996}
                   for s in ("train", "val", "test", "all")},
        "kernel": [DECAY | decay], "long_range_energy_share": share, "charges_known": True,
        "long_range": {"force_rms": 800.0, "long_range_force_rms": 96.0, "decay_sensitivity": 1.2},
    }  # fmt: skip


def said(**settings) -> str:
    return "\n".join(sentences(summary(**settings)))


def test_errors_stand_beside_the_spread():
    assert "test: forces 33.0 of 812 meV/Å (R² 0.998), energy 1.23 of 41.0 meV/atom (R² above 0.99999)" in said()


def test_a_finding_is_said_with_the_start_and_the_range():
    text = said()
    assert "learned r^-1.11 from 6.0 to 14.0 Å (Coulomb: r^-1; it began as r^-2.00)" in text
    assert "strength 0.0256" in text
    assert "long range: 12 % of the forces, 30 % of the interaction energy" in text


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ({"status": "unchanged"}, "no finding"),
        ({"status": "undetermined"}, "not determined at this accuracy"),
        ({"status": "fixed"}, "not trained"),
        ({"status": "hidden"}, "no distance beyond the cutoff of 6.0 Å"),
        ({"exponent": -0.61}, "no power law"),
        ({"misfit": 0.5}, "no power law"),
    ],
)
def test_what_is_no_finding_is_not_said_as_one(decay, expected):
    text = said(**decay)
    assert expected in text
    assert "learned" not in text
    assert "--" not in text


def varied(variation, correlation, share=1.0):
    found = summary(share=share)
    found["long_range"] |= {"energy_variation": variation, "energy_correlation": correlation}
    return "\n".join(sentences(found))


def test_parts_that_undo_each_other_are_said_to_mean_nothing():
    text = varied(4.13, -0.9713)
    assert "changes 4.1 times as much as the interaction energy" in text
    assert "correlation -0.971" in text
    assert "neither means anything" in text


@pytest.mark.parametrize(
    ("variation", "share", "percent"), [(1.0, 1.02, "102 %"), (1.9, 1.6, "160 %"), (0.2, 5, "500 %")]
)
def test_a_share_about_one_or_a_constant_part_is_no_cancellation(variation, share, percent):
    text = varied(variation, -0.5, share)
    assert f"{percent} of the interaction energy" in text
    assert "neither means anything" not in text


def test_a_single_structure_is_judged_by_its_share():
    assert "neither means anything" in said(share=4.1)
    assert "4.1 times the interaction energy" in said(share=4.1)
    assert "e+" not in said(share=4.1)
    assert "100 % of the interaction energy" in said(share=1.0)


def test_a_constant_offset_of_the_energies_is_said_instead_of_advice_to_train():
    foreign = summary()
    foreign["test"]["energy_rmse"] = 412.0
    assert any("loss.energy" in s for s in suggestions(foreign))
    foreign["energy_offset"] = {"per_atom": -0.4119, "rmse_without": 4.56}
    assert "energies differ by a constant of -0.412 eV per atom; without it the error is 4.56 meV/atom" in "\n".join(
        sentences(foreign)
    )
    assert not any("loss.energy" in s for s in suggestions(foreign))
    foreign["energy_offset"]["rmse_without"] = 300.0
    assert "constant" not in "\n".join(sentences(foreign))


def test_an_error_above_the_spread_is_a_warning():
    assert list(warnings(summary())) == []
    (warning,) = warnings(summary(force_rmse=900.0))
    assert "900 meV/Å, is above the spread of the forces themselves, 812" in warning


def test_data_without_a_training_split_are_no_reason_to_train_longer():
    foreign = summary(force_rmse=900.0)
    foreign["test"]["energy_rmse"] = 50.0
    assert "train longer" in " ".join((*warnings(foreign), *suggestions(foreign)))
    del foreign["train"], foreign["val"]
    said = " ".join((*warnings(foreign), *suggestions(foreign)))
    assert "train longer" not in said
    assert said.count("unlike those of the training") == 2


def test_the_outlook_is_in_words():
    learning = {
        "target": "force_rmse",
        "end": 33.0,
        "exponent": 0.2,
        "fall": 0.12,
        "falling": True,
        "tenfold": [17.3, 26.9],
    }
    text = "\n".join(sentences(summary() | {"learning": learning}))
    assert "validation error 33.0 meV/Å: it fell by 12 % from a third to two thirds of the time" in text
    assert "ten times the time may bring it to 17 to 27 (" in text
    assert "train longer" in next(suggestions(summary() | {"learning": learning}))
    settled = learning | {"fall": 0.0, "falling": False}
    assert "more time alone is unlikely to help" in "\n".join(sentences(summary() | {"learning": settled}))


def test_suggestions_follow_what_limits_the_error():
    assert "more structures" in next(suggestions(summary(force_rmse=60.0)))
    bad = summary()
    bad["test"]["energy_rmse"] = 50.0
    assert any("loss.energy" in s for s in suggestions(bad))
    weak = summary() | {"long_range": {"force_rms": 800.0, "long_range_force_rms": 10.0, "decay_sensitivity": 0.1}}
    assert any("model/long_range=none" in s for s in suggestions(weak))
    assert not any("model/long_range=none" in s for s in suggestions(summary()))


def test_summaries_of_earlier_versions_are_read():
    old = {"all": {"energy_rmse": 1.0}, "kernel": [{"exponent": 1.0, "r_min": 4.0, "r_max": 6.0, "coulomb_ratio": 1.0}]}
    assert next(iter(sentences(old))) == "all: energy 1.00 meV/atom"


def test_what_the_forces_determine_is_said_beside_what_was_learned():
    kernel = {"exponent": 1.12, "r_min": 6.0, "r_max": 14.0, "initial_exponent": 2.0, "coulomb_ratio": 0.03}
    determined = {"status": "found", "n_structures": 12, "exponent": 1.012, "exponent_uncertainty": 0.064, "r_min": 6.0}
    determined |= {"r_max": 14.0, "strength": 0.0266, "beyond_short_range": 4.6, "error": 0.02}
    few = {"status": "undetermined", "n_structures": 2}
    summary = {"test": {"force_rmse": 0.1}, "kernel": [kernel], "charges_known": True, "determined_decay": [determined]}
    assert any(
        "determine: r^(-1.01 ± 0.06) between 6.0 and 14.0 Å (95 %), strength 0.0266" in s for s in sentences(summary)
    )
    assert not any("determine:" in s for s in sentences(summary | {"determined_decay": [few]}))
    none = {"status": "none", "n_structures": 12, "beyond_short_range": 0.01, "error": 0.1}
    assert any("no long range" in s for s in sentences(summary | {"determined_decay": [none]}))
    loose = summary | {"kernel": [kernel | {"status": "undetermined"}], "long_range": {"decay_sensitivity": 0.01}}
    loose["long_range"] |= {"force_rms": 0.0, "long_range_force_rms": 1.0}
    text = "\n".join(sentences(loose))
    assert "r^-1.12 from 6.0 to 14.0 Å" in text
    assert "not determined" not in text
