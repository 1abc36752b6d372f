"""Owners in a model: kept beside the network, private, and refused where they cannot be what was enrolled."""

import json
import os
import stat
import sys
import zipfile

import numpy as np
import pytest
from graph_parts import packed

import livenessnet
from model_file import owners
from model_file.owners import OwnersError, read_owners, write_owners
from model_file.reading import ModelError

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
DETAILS = {
    "format": 1,
    "labels": livenessnet.LABELS,
    "input_size": 64,
    "margin": 2.7,
    "calibration": {"scale": 1, "offset": 0},
}
NETWORK = "sface_test"


@pytest.fixture
def model(tmp_path):
    return packed(tmp_path / "liveness.model", b"a graph", json.dumps(DETAILS).encode(), zipfile.ZIP_DEFLATED)


def looks(seed: int, count: int, spread: float = 0.5) -> np.ndarray:
    """Templates of somebody, float32 (count, 128) of length 1: any two of them score about 1 / (1 + spread ** 2)."""
    rng = np.random.default_rng(seed)
    templates = rng.standard_normal(128) + spread * rng.standard_normal((count, 128))
    return (templates / np.linalg.norm(templates, axis=1, keepdims=True)).astype(np.float32)


def tampered(model, **changes):
    """The model with something else in its owners.json; text: instead of all of it."""
    write_owners(model, {"anna": looks(1, 3)}, NETWORK)
    with zipfile.ZipFile(model) as members:
        found = json.loads(members.read("owners.json"))
        others = {name: members.read(name) for name in members.namelist() if name != "owners.json"}
    text = changes.pop("text", None) or json.dumps({**found, **changes})
    with zipfile.ZipFile(model, "w") as members:
        for name, data in {**others, "owners.json": text}.items():
            members.writestr(name, data)
    return model


def refused(model, *parts: str, error=OwnersError) -> None:
    with pytest.raises(error) as caught:
        read_owners(model, NETWORK)
    said = str(caught.value)
    assert "\n" not in said and str(model) in said, said
    for part in parts:
        assert part in said


def test_a_model_without_owners_has_none(model):
    assert read_owners(model, NETWORK) == {}


def test_owners_come_back_as_they_were_and_the_network_stays(model):
    household = {"anna": looks(1, 10), "Björn O'Neil": looks(2, 1)}
    write_owners(model, {"somebody": looks(3, 2)}, NETWORK)
    write_owners(model, household, NETWORK)
    found = read_owners(model, NETWORK)
    assert list(found) == list(household)
    for name, templates in household.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], templates, atol=1e-6)
    with zipfile.ZipFile(model) as members:
        assert members.namelist() == ["liveness.onnx", "liveness.json", "owners.json"]
        assert members.read("liveness.onnx") == b"a graph"
        assert members.getinfo("liveness.onnx").compress_type == zipfile.ZIP_DEFLATED
    write_owners(model, {}, NETWORK)
    assert read_owners(model, NETWORK) == {} and b"owners.json" not in model.read_bytes()
    assert [file.name for file in model.parent.iterdir()] == ["liveness.model"]


def test_keras_and_the_authenticator_read_a_model_with_owners(trained, tmp_path):
    import shutil

    path = tmp_path / "copy.keras"
    shutil.copyfile(trained.model, path)
    write_owners(path, {"anna": looks(1, 5)}, NETWORK)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    expected = livenessnet.load(trained.model, trained.le).log_odds(crops)
    np.testing.assert_array_equal(livenessnet.load(path, trained.le).log_odds(crops), expected)
    model = livenessnet.import_keras().models.load_model(path)

    # As a training writes both at once.
    both = tmp_path / "both.model"
    both.touch(0o644)
    livenessnet.save(model, both, livenessnet.LABELS, DETAILS, None, {"anna": looks(1, 5)}, NETWORK)
    assert sys.platform == "win32" or stat.S_IMODE(both.stat().st_mode) == 0o600
    np.testing.assert_allclose(read_owners(both, NETWORK)["anna"], looks(1, 5), atol=1e-6)
    livenessnet.save(model, both, livenessnet.LABELS, DETAILS)
    assert read_owners(both, NETWORK) == {}


# --- Private ---


@posix
def test_a_file_with_owners_is_private_from_the_first_byte(model, monkeypatch):
    os.chmod(model, 0o644)
    modes, write = [], zipfile.ZipFile.writestr

    def noting(archive, *what):
        modes.append(stat.S_IMODE(os.stat(archive.filename).st_mode))
        write(archive, *what)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", noting)
    write_owners(model, {"anna": looks(1, 2)}, NETWORK)
    assert modes == [0o600] * 3
    assert stat.S_IMODE(model.stat().st_mode) == 0o600
    write_owners(model, {}, NETWORK)
    assert stat.S_IMODE(model.stat().st_mode) == 0o600


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664])
def test_a_model_that_others_may_write_has_no_say_in_who_is_its_owner(model, mode):
    os.chmod(model, mode)
    assert read_owners(model, NETWORK) == {}, "nobody in it to be believed"
    write_owners(model, {"anna": looks(1, 2)}, NETWORK)
    os.chmod(model, mode)
    refused(model, f"chmod 600 {model}")
    os.chmod(model, 0o644)
    assert list(read_owners(model, NETWORK)) == ["anna"], "what others may read is a pity, not a danger"


@posix
def test_a_protected_file_is_refused_and_stays(model):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    before = model.read_bytes()
    os.chmod(model, 0o400)
    with pytest.raises(OSError):
        write_owners(model, {"anna": looks(1, 2)}, NETWORK)
    assert model.read_bytes() == before


# --- Tampered with ---

GOOD = looks(1, 2).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '"owners"',
        "[" * 100_000,
        '{"owners": [], "network": "sface_test"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_such_json_is_refused(model, text):
    refused(tampered(model, text=text), "owners.json", "delete")


@pytest.mark.parametrize("network", [None, "", "sface_2025", 3])
def test_another_networks_templates_are_refused(model, network):
    refused(tampered(model, network=network), "another network")


@pytest.mark.parametrize(
    "templates",
    [
        [],
        {},
        None,
        "anna",
        GOOD[0],
        [GOOD[0], None],
        [GOOD[0], GOOD[1][:-1]],
        [GOOD[0], [*GOOD[1], 0.0]],
        [GOOD[0], [[x] for x in GOOD[1]]],
        [[str(x) for x in GOOD[0]]],
        [[True] + [False] * 127],
        [[float("nan"), *GOOD[0][1:]]],
        [[float("inf"), *GOOD[0][1:]]],
        [[10**400, *GOOD[0][1:]]],
        [[0.0] * 128],
        [[x * 1.002 for x in GOOD[0]]],
        [[x * 0.998 for x in GOOD[0]]],
        looks(1, 11).tolist(),
    ],
)
def test_what_are_no_templates_is_refused(model, templates):
    refused(tampered(model, owners={"ok": GOOD, "anna": templates}), "anna's templates", "128 numbers of length 1")


def test_rounding_is_no_tampering(model):
    tampered(model, owners={"anna": [[x * 1.0009 for x in GOOD[0]]]})
    assert read_owners(model, NETWORK)["anna"].shape == (1, 128)


@pytest.mark.parametrize("name", ["", " ", "anna ", " anna", "an\nna", "an\x1b[2Jna", "an\u202ena", "\ud800", "x" * 41])
def test_names_that_cannot_be_shown_are_refused(model, name):
    refused(tampered(model, owners={name: GOOD}), "an owner's name")


def test_so_many_owners_are_no_household(model):
    many = {f"owner {n}": GOOD for n in range(21)}
    refused(tampered(model, owners=many), "21 owners")
    refused(tampered(model, owners={}), "0 owners")
    del many["owner 3"]
    assert len(read_owners(tampered(model, owners=many), NETWORK)) == 20


def test_a_stranger_among_an_owners_templates_is_seen(model):
    one, other = looks(1, 5), looks(2, 4)
    assert (one @ other.T).max() < owners.LEAST_ALIKE < (one @ one.T).min()
    for mixed in ([*one, other[0]], [*one, *other], [other[0], *one]):
        refused(tampered(model, owners={"anna": np.float64(mixed).tolist()}), "anna's templates are not one person's")


def test_a_long_way_in_small_steps_is_one_person(model):
    """Turned to the left and to the right may be unlike each other, and each like the look ahead."""
    angles = np.radians(np.arange(0, 10) * 30)
    turned = np.zeros((10, 128), np.float32)
    turned[:, 0], turned[:, 1] = np.cos(angles), np.sin(angles)
    write_owners(model, {"anna": turned}, NETWORK)
    assert len(read_owners(model, NETWORK)["anna"]) == 10


def test_a_household_that_would_be_refused_is_not_written(model):
    before = model.read_bytes()
    for household in ({"\n": looks(1, 2)}, {"anna": looks(1, 11)}, {"anna": np.full((1, 128), np.nan)}):
        with pytest.raises(OwnersError, match="cannot be enrolled"):
            write_owners(model, household, NETWORK)
    assert model.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(500)])
def test_what_is_no_model_holds_no_owners(model, data):
    model.write_bytes(data)
    refused(model, error=ModelError)
    with pytest.raises(ModelError):
        write_owners(model, {"anna": looks(1, 2)}, NETWORK)
    assert model.read_bytes() == data


def test_a_bomb_among_the_owners_is_not_unpacked(model):
    refused(tampered(model, text="[" + " " * (1 << 20) + "]"), "larger than any", error=ModelError)


def test_a_changed_bit_is_seen(model):
    write_owners(model, {"anna": looks(1, 2)}, NETWORK)
    data = model.read_bytes()
    with zipfile.ZipFile(model) as members:
        at = members.getinfo("owners.json").header_offset + 100
    model.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    refused(model, "damaged")
