import numpy as np

import livenessnet
from authenticator import EVIDENCE_FRAMES, EVIDENCE_GAP_S, Authenticator, Evidence
from verdict import Verdict


def test_evidence_is_the_last_frames_a_little_apart():
    evidence = Evidence()
    for number in range(100):
        evidence.add(number / 30, np.array([number]))
    times = np.array([frame[0] for frame in evidence.frames()]) / 30
    assert len(times) == EVIDENCE_FRAMES and times[-1] > 3.1
    assert (np.diff(times) >= EVIDENCE_GAP_S - 1e-9).all()


def test_in_a_dark_frame_nobody_looks_for_faces(detector, trained, live_frames):
    authenticator = Authenticator(detector, livenessnet.load(trained.model, trained.le), Verdict())
    dark = live_frames[0] // 9
    assert len(detector.detect(dark)) == 1, "there is a face that could be found"
    found = authenticator.find(dark)
    assert found.dark and not len(found.faces)
    assert not authenticator.find(live_frames[0]).dark
