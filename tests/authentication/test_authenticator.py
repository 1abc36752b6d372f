import cv2
import numpy as np

import livenessnet
from authentication.authenticator import EVIDENCE_FRAMES, EVIDENCE_GAP_S, Evidence, find
from authentication.scoring import Scorer
from face_detector import VIEW_SIDE, cut, shrunk


def test_evidence_is_the_last_frames_a_little_apart():
    evidence = Evidence()
    for number in range(100):
        evidence.add(number / 30, np.array([number]))
    times = np.array([frame[0] for frame in evidence.frames()]) / 30
    assert len(times) == EVIDENCE_FRAMES and times[-1] > 3.1
    assert (np.diff(times) >= EVIDENCE_GAP_S - 1e-9).all()


def test_in_a_dark_frame_nobody_looks_for_faces(detector, live_frames):
    dark = live_frames[0] // 9
    assert len(detector.detect(dark)) == 1, "there is a face that could be found"
    found = find(detector, dark)
    assert found.dark and not len(found.faces)
    assert not find(detector, live_frames[0]).dark


def test_an_earlier_model_judges_a_face_that_fills_the_frame_as_a_close_up(detector, trained, live_frames):
    network = livenessnet.load(trained.model, trained.le)
    # An operating point that only close-ups miss.
    network.details["calibration"] = {"scale": 1e-3, "reach": [0.75, 0.95], "offset": [-9.0, 9.0]}
    frame = live_frames[0]
    face = detector.detect(frame)[0]
    x, y, w, h = face[:4].round().astype(int)
    half = round(0.62 * max(w, h))
    top, left = y + h // 2 - half, x + w // 2 - half
    close_up = frame[top : top + 2 * half, left : left + 2 * half]
    assert close_up.shape[:2] == (2 * half, 2 * half), "the sample's face lies well within the frame"
    within = face.copy()
    within[:2] -= left, top
    scorer = Scorer(network, None)
    far, near = scorer.scores(0, frame, face[None]) + scorer.scores(1, close_up, within[None])
    assert far > 0.99 and near < 0.01


def test_the_network_is_shown_the_view_that_training_shows_it(detector, trained, live_frames):
    network = livenessnet.load(trained.model, trained.le)
    shown = []
    network.log_odds = lambda crops, reach: shown.append(crops) or np.zeros(len(crops))
    frame = live_frames[0]
    face = detector.detect(frame)[0]
    Scorer(network, None).scores(0, frame, face[None])
    stored, _ = cut(frame, face[:4])
    kept = cv2.resize(stored, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(shown[0][0].astype(float) - shrunk(kept, network.input_size)).mean() < 1
