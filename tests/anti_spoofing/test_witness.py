"""The witness: its weights fetched and verified, its graph made, kept and checked."""

import hashlib
import os
import sys

import cv2
import numpy as np
import pytest
from pytorch_parts import small_network, stand_in, without_network

from anti_spoofing import View, Witness, WitnessError, WitnessMissing, graph, minifasnet, pytorch_file
from anti_spoofing.minifasnet import FAR, GRAPH, GRAPH_SHA256, NEAR, SHIFT, SIDE, WEIGHTS, WEIGHTS_SHA256
from storage.cache import cache_folder

# --- The real one ---


@pytest.fixture(scope="module")
def weights(witness_folder) -> bytes:
    data = (witness_folder / WEIGHTS).read_bytes()
    assert hashlib.sha256(data).hexdigest() == WEIGHTS_SHA256
    return data


@pytest.fixture(scope="module")
def real_graph(weights) -> bytes:
    return graph.write(pytorch_file.read(weights))


@pytest.fixture(scope="module")
def reference(witness_folder):
    """Inputs, float32 (4, 3, 80, 80), and what PyTorch makes of them, (4, 3)."""
    if not (witness_folder / "reference.npz").is_file():
        pytest.skip("there is no reference.npz in LIVENESS_WEIGHTS")
    arrays = np.load(witness_folder / "reference.npz")
    inputs, logits = (
        next(arrays[name] for name in arrays.files if arrays[name].shape[1:] == shape)
        for shape in ((3, SIDE, SIDE), (3,))
    )
    inputs = inputs.astype(np.float32)
    # What was shown to PyTorch was the ramp as it is, not rounded down to whole grey levels as it was stored.
    ramp = np.broadcast_to(np.linspace(0, 255, SIDE, dtype=np.float32), inputs[1].shape)
    assert (np.abs(inputs[1] - ramp) < 1).all()
    inputs[1] = ramp
    return inputs, logits


def forward(model: bytes, inputs: np.ndarray) -> np.ndarray:
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    network.setInput(np.ascontiguousarray(inputs, np.float32))
    return network.forward().copy()


def test_the_real_weights_give_what_pytorch_gives(real_graph, reference):
    inputs, logits = reference
    assert np.ptp(logits) > 1
    assert np.abs(forward(real_graph, inputs) - logits).max() < 1e-4
    for number in range(len(inputs)):
        assert np.abs(forward(real_graph, inputs[number : number + 1]) - logits[number]).max() < 1e-4


def test_the_graph_is_the_same_to_the_bit_on_every_machine(real_graph):
    assert hashlib.sha256(real_graph).hexdigest() == GRAPH_SHA256


def test_the_witness_gives_the_log_odds_of_the_second_class(witness, weights, reference):
    inputs, logits = reference
    pictures = inputs[[0, 2, 3]].transpose(0, 2, 3, 1).astype(np.uint8)
    shares = np.exp(logits[[0, 2, 3]].astype(np.float64))
    shares = shares[:, 1] / shares.sum(axis=1)
    said = witness.log_odds([View(picture, NEAR) for picture in pictures])
    np.testing.assert_allclose(said, np.log(shares / (1 - shares)), atol=1e-3)


def test_the_real_witness_tells_a_live_sample_from_none(witness, weights, detector, live_frames):
    faces = [detector.detect(frame)[0, :4] for frame in live_frames[::40]]
    said = [witness.look(frame, face) for frame, face in zip(live_frames[::40], faces)]
    assert np.isfinite(said).all() and np.mean(said) > 1
    grey = np.full((200, 200, 3), 120, np.uint8)
    assert witness.look(grey, np.array([70, 70, 60, 60])) < np.mean(said) - 1


# --- With a stand-in: a file of the same form, a network of the same layers ---


@pytest.fixture
def standing_in(monkeypatch, tmp_path) -> bytes:
    """Taken for the real weights; they lie in tmp_path / weights."""
    weights = stand_in(monkeypatch, tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS).write_bytes(weights)
    return weights


def by_hand(tensors: dict[str, np.ndarray], picture: np.ndarray) -> np.ndarray:
    """The layers in NumPy: float (3, 80, 80) -> logits (3,)."""
    t = {name.removeprefix("module."): np.float64(values) for name, values in tensors.items()}

    def normalised(name, x):
        shape = (-1,) + (1,) * (x.ndim - 1)
        scale, shift, mean, variance = (
            t[f"{name}.{part}"].reshape(shape) for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift

    def convolved(name, x, stride=1, pad=None):
        filters = t[f"{name}.conv.weight"]
        side = filters.shape[2]
        pad = side // 2 if pad is None else pad
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        patches = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))[:, ::stride, ::stride]
        one_each = filters.shape[1] == 1 and len(filters) == len(x)
        y = (
            np.einsum("chwij,cij->chw", patches, filters[:, 0])
            if one_each
            else np.einsum("chwij,ocij->ohw", patches, filters)
        )
        y = normalised(f"{name}.bn", y)
        slopes = t.get(f"{name}.prelu.weight")
        return y if slopes is None else np.where(y < 0, slopes[:, None, None] * y, y)

    def narrow(name, x, stride):
        return convolved(f"{name}.project", convolved(f"{name}.conv_dw", convolved(f"{name}.conv", x), stride))

    x = convolved("conv2_dw", convolved("conv1", picture, 2))
    for stage, before, count in ((3, 2, 4), (4, 3, 6), (5, 4, 2)):
        x = narrow(f"conv_{before}{stage}", x, 2)
        for number in range(count):
            x = x + narrow(f"conv_{stage}.model.{number}", x, 1)
    x = convolved("conv_6_dw", convolved("conv_6_sep", x), pad=0)
    assert x.shape[1:] == (1, 1)
    return t["prob.weight"] @ normalised("bn", t["linear.weight"] @ x.ravel())


def test_the_graph_is_the_networks_layers():
    tensors = small_network()
    pictures = np.random.default_rng(1).integers(0, 256, (3, 3, SIDE, SIDE)).astype(np.float32)
    pictures[1] /= 3
    expected = np.array([by_hand(tensors, picture) for picture in pictures])
    found = forward(graph.write(tensors), pictures)
    assert np.ptp(expected, axis=0).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_several_faces_give_what_each_gives(standing_in, tmp_path):
    witness = Witness(tmp_path / "weights")
    views = [
        View(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8), 1 + seed / 2) for seed in range(5)
    ]
    alone = [witness.log_odds([view])[0] for view in views]
    assert np.ptp(alone) > 0.01
    np.testing.assert_allclose(witness.log_odds(views), alone, atol=1e-4)
    np.testing.assert_allclose(witness.log_odds(views[::-1][:2]), alone[::-1][:2], atol=1e-4)


def test_from_afar_the_operating_point_is_another(standing_in, tmp_path):
    witness = Witness(tmp_path / "weights")
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
    widths = [0.5, NEAR, (NEAR + FAR) / 2, FAR, 2.7]
    said = witness.log_odds([View(picture, width) for width in widths])
    np.testing.assert_allclose(said - said[0], [0, 0, SHIFT / 2, SHIFT, SHIFT], atol=1e-4)


def test_looking_at_a_frame_is_judging_its_view(standing_in, tmp_path):
    witness = Witness(tmp_path / "weights")
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    box = np.array([100.5, 80.2, 70, 90])
    assert witness.look(frame, box) == witness.log_odds([minifasnet.view(frame, box)])[0]


def test_the_graph_is_made_once_and_kept(standing_in, tmp_path, capsys):
    Witness(tmp_path / "weights")
    kept = cache_folder() / GRAPH
    assert kept.read_bytes() == graph.write(pytorch_file.read(standing_in))
    (tmp_path / "weights" / WEIGHTS).unlink()  # not needed any more
    Witness(tmp_path / "weights")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "tampered",
    [
        lambda graph: b"",
        lambda graph: graph[:-1],
        lambda graph: graph + b"\0",
        lambda graph: graph[:500] + bytes([graph[500] ^ 1]) + graph[501:],
    ],
)
def test_a_graph_that_was_tampered_with_is_made_again_and_told(standing_in, tmp_path, capsys, tampered):
    Witness(tmp_path / "weights")
    kept = cache_folder() / GRAPH
    genuine = kept.read_bytes()
    kept.write_bytes(tampered(genuine))
    Witness(tmp_path / "weights")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and str(kept) in said and "altered" in said
    assert kept.read_bytes() == genuine


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the cache is named otherwise there")
@pytest.mark.parametrize("there", ["file", "folder"])
def test_a_cache_that_cannot_be_written_is_told_and_the_witness_works(standing_in, tmp_path, capsys, there):
    if there == "file":  # where the cache's folder would be
        (tmp_path / "cache").write_text("")
    else:  # where the graph would be
        (cache_folder() / GRAPH).mkdir(parents=True)
    for _ in range(2):
        said = Witness(tmp_path / "weights").log_odds([View(np.zeros((SIDE, SIDE, 3), np.uint8), 2.7)])
        assert np.isfinite(said).all()
        told = capsys.readouterr().err
        assert len(told.splitlines()) == 1 and "cannot be written" in told and "converted at every start" in told


def test_a_graph_of_another_onnx_is_used_and_not_kept(standing_in, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(minifasnet, "GRAPH_SHA256", "0" * 64)
    Witness(tmp_path / "weights")
    assert not (cache_folder() / GRAPH).exists() and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "altered",
    [
        lambda weights: b"",
        lambda weights: weights[:-1],
        lambda weights: weights[: len(weights) // 2],
        lambda weights: weights[:100] + bytes([weights[100] ^ 1]) + weights[101:],
        lambda weights: weights + b"\0",
        lambda weights: b"cos\nsystem\n(S'echo'\ntR.",
    ],
)
def test_weights_that_are_others_are_refused_and_stay(standing_in, tmp_path, capsys, altered):
    file = tmp_path / "weights" / WEIGHTS
    file.write_bytes(altered(standing_in))
    with pytest.raises(WitnessError, match="altered") as error:
        Witness(tmp_path / "weights")
    assert "\n" not in str(error.value) and str(file) in str(error.value) and capsys.readouterr().err == ""
    assert file.read_bytes() == altered(standing_in), "the user's file is left alone"
    assert not (tmp_path / "cache").exists()


def test_other_weights_in_the_users_own_folder_are_refused(standing_in, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / WEIGHTS).write_bytes(b"another file")
    monkeypatch.setenv("LIVENESS_WEIGHTS", str(tmp_path / "own"))
    with pytest.raises(WitnessError, match="LIVENESS_WEIGHTS") as error:
        Witness(tmp_path / "elsewhere")
    assert "\n" not in str(error.value) and not (tmp_path / "elsewhere" / WEIGHTS).exists()


def test_weights_in_the_users_own_folder_are_taken_and_told(standing_in, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIVENESS_WEIGHTS", str(tmp_path / "weights"))
    Witness(tmp_path / "elsewhere")
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1 and "anti-spoofing weights: fetched from" in told
    assert (tmp_path / "elsewhere" / WEIGHTS).read_bytes() == standing_in


def test_weights_that_cannot_be_read_are_told(standing_in, tmp_path):
    (tmp_path / "odd" / WEIGHTS).mkdir(parents=True)
    with pytest.raises((WitnessError, WitnessMissing), match="cannot be read") as error:
        Witness(tmp_path / "odd")
    assert "\n" not in str(error.value)


def test_missing_everywhere_it_says_what_to_do(monkeypatch, tmp_path):
    without_network(monkeypatch, tmp_path)
    with pytest.raises(WitnessMissing) as error:
        Witness(tmp_path / "none")
    said = str(error.value)
    assert "\n" not in said and WEIGHTS_SHA256 in said and WEIGHTS in said and "connect to the network" in said
    monkeypatch.setenv("LIVENESS_WEIGHTS", str(tmp_path / "own"))
    with pytest.raises(WitnessMissing, match="LIVENESS_WEIGHTS: no "):
        Witness(tmp_path / "none")
    assert not list((tmp_path / "none").iterdir()), "no parts are left behind"


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid"), reason="a folder is not a file there")
def test_a_folder_that_cannot_be_made_is_told_in_one_line(standing_in, tmp_path, monkeypatch):
    monkeypatch.setenv("LIVENESS_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "file").write_text("")
    with pytest.raises((WitnessMissing, WitnessError)) as error:
        Witness(tmp_path / "file" / "folder")
    assert "\n" not in str(error.value)
