import cv2
import numpy as np
import pytest
from conftest import WEIGHTS

from face_detector import CROP_SIDE, UPRIGHT, DetectorError, FaceDetector, cut, reach, reach_within, turn_of
from face_detector.yunet import WEIGHTS as WEIGHTS_FILE
from face_detector.yunet import shrink


def test_every_frame_of_the_live_sample_has_one_face(detector, live_frames):
    assert [len(detector.detect(frame)) for frame in live_frames[::10]] == [1] * 12


def test_no_face_is_an_empty_array_not_none(detector):
    faces = detector.detect(np.full((200, 300, 3), 128, np.uint8))
    assert faces.shape == (0, 15) and faces.dtype == np.float32


def test_the_same_face_is_found_at_every_frame_size_in_any_order(detector, live_frames):
    small = live_frames[0]
    large = cv2.resize(small, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    tall = cv2.copyMakeBorder(large, 700, 0, 0, 0, cv2.BORDER_CONSTANT)
    box = detector.detect(small)[0, :4]
    np.testing.assert_allclose(detector.detect(large)[0, :4] / 6, box, atol=5)
    np.testing.assert_allclose((detector.detect(tall)[0, :4] - (0, 700, 0, 0)) / 6, box, atol=8)
    np.testing.assert_array_equal(detector.detect(small)[0, :4], box)


def test_landmarks_lie_where_a_face_has_them(detector, live_frames):
    x, y, w, h, *points = detector.detect(live_frames[0])[0, :14]
    right_eye, left_eye, nose, right_mouth, left_mouth = np.reshape(points, (5, 2))
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1] < right_mouth[1] < y + h
    assert x < right_mouth[0] < left_mouth[0] < x + w


def test_confidence_leaves_out_what_scores_lower(detector, live_frames):
    score = float(detector.detect(live_frames[0])[0, 14])
    assert 0.5 < score < 1
    assert len(FaceDetector(WEIGHTS, (1 + score) / 2).detect(live_frames[0])) == 0


def test_altered_weights_are_refused(tmp_path):
    weights = bytearray((WEIGHTS / WEIGHTS_FILE).read_bytes())
    weights[1000] ^= 1
    (tmp_path / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(DetectorError, match="altered"):
        FaceDetector(tmp_path)
    assert (tmp_path / WEIGHTS_FILE).read_bytes() == weights


def test_a_missing_folder_is_refused_not_made(tmp_path):
    with pytest.raises(DetectorError, match="no such folder"):
        FaceDetector(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def ramp(height: int, width: int) -> np.ndarray:
    """Every pixel tells its own column (blue) and row (green)."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([columns, rows, np.zeros_like(rows)]).astype(np.uint8)


def test_the_window_is_square_and_centred_on_the_face():
    crop, inside = cut(ramp(250, 250), (100, 90, 20, 40), margin=2.0)
    assert crop.shape == (80, 80, 3)
    np.testing.assert_array_equal(inside, [0, 0, 1, 1])
    np.testing.assert_array_equal(crop[0, 0, :2], (70, 70))
    np.testing.assert_array_equal(crop[-1, -1, :2], (149, 149))


def test_beyond_the_frame_its_edge_is_repeated_and_inside_says_so():
    # Face centre (10, 240), window 80: 30 px stand out on the left, 30 at the bottom, and 1 of the frame's rim.
    crop, inside = cut(ramp(250, 250), (0, 220, 20, 40), margin=2.0)
    np.testing.assert_allclose(inside, [31 / 80, 0, 1, 49 / 80])
    np.testing.assert_array_equal(crop[0, :32, 0], 1)
    np.testing.assert_array_equal(crop[0, 32:, 0], np.arange(2, 50))
    np.testing.assert_array_equal(crop[49:, 79, 1], 248)


def test_a_black_rim_of_the_frame_is_not_repeated_beyond_it():
    frame = np.zeros((144, 176, 3), np.uint8)
    frame[1:-1, 1:-1] = 200
    crop, _ = cut(frame, (0, 0, 176, 144), side=128)
    assert crop.min() == 200


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (3, 3)])
def test_a_frame_that_is_all_rim_gives_a_crop(size):
    assert cut(np.full((*size, 3), 9, np.uint8), (0, 0, 2, 2), side=16)[0].min() == 9


@pytest.mark.parametrize(
    "box", [(-30, -30, 20, 20), (240, 240, 400, 400), (0, 0, 250, 250), (248, 3, 1, 1), (5, 5, 0, 0)]
)
def test_any_box_gives_a_crop_of_the_size_asked_for(box):
    crop, inside = cut(ramp(250, 250), box, side=64)
    assert crop.shape == (64, 64, 3)
    left, top, right, bottom = inside
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def test_the_reach_is_that_of_the_farthest_side():
    assert reach((40, 40), (0, 0, 40, 40)) == 0.5
    # 30 px to the left of the middle, 170 to the right, 50 above and below.
    assert reach((100, 200, 3), (10, 30, 40, 40)) == 170 / 40
    # A crop sees no farther than its own half.
    for box in ((10, 30, 40, 40), (0, 20, 60, 80), (150, 5, 50, 30), (90, 20, 70, 70)):
        _, inside = cut(ramp(100, 200), box, margin=2.7, side=400)
        seen = min(reach((100, 200), box), 1.35)
        np.testing.assert_allclose(reach_within(inside[None], 2.7), [seen], atol=0.03)


@pytest.mark.parametrize("box", [(-30, -30, 20, 20), (240, 240, 400, 400), (5, 5, 0, 0)])
def test_any_box_has_a_reach(box):
    assert 0.5 <= reach((250, 250), box) <= 250


def test_stored_crops_are_shrunk_never_enlarged():
    frame = np.zeros((1000, 1000, 3), np.uint8)
    assert cut(frame, (400, 400, 300, 300))[0].shape[0] == CROP_SIDE
    assert cut(frame, (400, 400, 20, 20))[0].shape[0] == 54


@pytest.mark.parametrize("shape", [(2, 2000, 3), (4000, 1, 3), (1, 1, 3)])
def test_in_a_very_thin_picture_is_no_face(detector, shape):
    assert detector.detect(np.zeros(shape, np.uint8)).shape == (0, 15)


def test_shrinking_moves_nothing():
    """368 pixels become 180, which are 179.5: a mark on the right stands where the scale says."""
    frame = np.zeros((656, 368, 3), np.uint8)
    frame[:, 300:340] = 255
    small, scale = shrink(frame)
    columns = np.arange(small.shape[1]) + 0.5
    bright = small[0, :, 0].astype(float)
    assert (columns @ bright) / bright.sum() / scale == pytest.approx(320, abs=0.3)


def test_shrinking_averages_and_does_not_alias():
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    crop, _ = cut(stripes, (220, 220, 200, 200), margin=2.56, side=64)
    assert crop.astype(float).std() < 5 and abs(crop.mean() - 127.5) < 5


def test_the_weights_may_come_out_of_a_folder_of_the_users(tmp_path, monkeypatch, live_frames, capsys):
    monkeypatch.setenv("LIVENESS_WEIGHTS", str(WEIGHTS))
    assert len(FaceDetector(tmp_path).detect(live_frames[0])) == 1
    assert (tmp_path / WEIGHTS_FILE).is_file()
    assert f"fetched from {WEIGHTS / WEIGHTS_FILE}, verified" in capsys.readouterr().err


def test_other_weights_in_the_users_folder_are_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / WEIGHTS_FILE).write_bytes(b"other weights")
    monkeypatch.setenv("LIVENESS_WEIGHTS", str(tmp_path / "own"))
    with pytest.raises(DetectorError, match="LIVENESS_WEIGHTS.*another file") as error:
        FaceDetector(tmp_path)
    assert str(tmp_path / "own" / WEIGHTS_FILE) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "turned, back",
    [
        (None, UPRIGHT),
        (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE),
        (cv2.ROTATE_180, cv2.ROTATE_180),
        (cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_90_CLOCKWISE),
    ],
)
def test_which_way_up_a_picture_is(detector, live_frames, turned, back):
    for frame in live_frames[::20]:
        assert turn_of(detector, frame if turned is None else cv2.rotate(frame, turned)) == back
    assert turn_of(detector, np.full((200, 300, 3), 128, np.uint8)) is None
