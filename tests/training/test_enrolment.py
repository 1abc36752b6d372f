"""From crops to templates: whose they are, and which looks stand for him."""

import cv2
import numpy as np
import pytest
from enrolment_parts import live_crops, looks_at, portraits

from training import enrolment
from training.enrolment import (
    FEWEST,
    MOST,
    MOST_LOOKED_AT,
    Nobody,
    SeveralPeople,
    chosen,
    enrol,
    face_in,
    owner_of,
    people,
    spread_evenly,
)


def enrolled_from(detector, **recordings):
    """Enrol from the files of these recordings."""
    files = [file for of_one in recordings.values() for file in of_one]
    names = np.repeat(list(recordings), [len(of_one) for of_one in recordings.values()])
    return enrol(files, names, np.arange(len(files)), detector)


# --- On real faces ---


def test_one_person_in_two_recordings_is_enrolled(recognizer, detector, live_frames, stranger, tmp_path):
    desk = live_crops(tmp_path, "desk", live_frames[:60:6], detector)
    night = live_crops(tmp_path, "night", [(frame * 0.5).astype(np.uint8) for frame in live_frames[1:60:6]], detector)
    enrolled = enrolled_from(detector, desk=desk, night=night)
    assert FEWEST <= len(enrolled.templates) <= MOST and enrolled.templates.dtype == np.float32
    assert enrolled.recordings == 2
    later = [recognizer.embed(frame, detector.detect(frame)[0]) for frame in live_frames[60::10]]
    assert (later @ enrolled.templates.T).max(axis=1).min() > 0.5
    other = recognizer.embed(stranger, detector.detect(stranger)[0])
    assert (other @ enrolled.templates.T).max() < 0.35


def test_two_people_come_out_as_two(recognizer, detector, live_frames, stranger, tmp_path):
    desk = live_crops(tmp_path, "desk", live_frames[:80:8], detector)
    office = live_crops(tmp_path, "office", portraits(stranger, 6), detector)
    with pytest.raises(SeveralPeople) as caught:
        enrolled_from(detector, desk=desk, office=office)
    assert str(caught.value).splitlines() == ["the crops show 2 people:", "10 looks in desk;", "6 looks in office"]
    with pytest.raises(SeveralPeople):
        enrolled_from(detector, kitchen=desk + office)


def test_a_few_looks_at_somebody_else_are_nobodys(recognizer, detector, live_frames, stranger, tmp_path):
    desk = live_crops(tmp_path, "desk", [*live_frames[::5], *portraits(stranger, 3)], detector)
    enrolled = enrolled_from(detector, desk=desk)
    other = recognizer.embed(stranger, detector.detect(stranger)[0])
    assert (other @ enrolled.templates.T).max() < 0.35


def test_too_few_fit_looks_enrol_nobody(detector, live_frames, tmp_path):
    files = live_crops(tmp_path, "desk", live_frames[:4], detector)
    for n in range(3):
        files.append(tmp_path / f"wall_{n}.png")
        cv2.imwrite(str(files[-1]), np.full((96, 96, 3), 90 + n, np.uint8))
    blurred = live_crops(tmp_path, "blurred", [cv2.GaussianBlur(live_frames[0], (0, 0), 5)], detector)
    with pytest.raises(Nobody, match="^4 of 8 crops show a face that is large, .*; 5 are needed$"):
        enrolled_from(detector, desk=files, blurred=blurred)


def test_the_face_in_the_middle_counts(recognizer, detector, live_frames, stranger, tmp_path):
    (file,) = live_crops(tmp_path, "desk", live_frames[:1], detector)
    alone = face_in(file, detector)
    side = cv2.imread(str(file)).shape[0]
    other = cv2.resize(stranger, (side // 2, side))
    wide = np.hstack([other, cv2.imread(str(file)), other])
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    assert len(detector.detect(wide)) == 3
    one, same = recognizer.embed_aligned(np.stack([alone, face_in(tmp_path / "wide.png", detector)]))
    assert one @ same > 0.7


def test_a_crop_as_tight_as_the_originals_does(recognizer, detector, stranger, tmp_path):
    (file,) = live_crops(tmp_path, "tight", [stranger], detector, margin=1)
    look = recognizer.embed_aligned(face_in(file, detector)[np.newaxis])[0]
    assert look @ recognizer.embed(stranger, detector.detect(stranger)[0]) > 0.7


def test_what_is_no_picture_is_passed_over(detector, tmp_path):
    (tmp_path / "empty.png").touch()
    assert face_in(tmp_path / "empty.png", detector) is None
    assert face_in(tmp_path / "missing.png", detector) is None
    assert face_in(tmp_path, detector) is None


# --- On made-up looks ---


def test_each_of_several_people_is_found_with_all_his_recordings():
    looks = np.concatenate([looks_at(1, 12), looks_at(2, 9), looks_at(1, 7), looks_at(3, 5)])
    recordings = np.repeat(["a", "b", "c", "d"], [12, 9, 7, 5])
    order = np.random.default_rng(0).permutation(len(looks))
    found = people(looks[order], recordings[order])
    assert [sorted(set(recordings[order][rows])) for rows in found] == [["a", "c"], ["b"], ["d"]]
    assert [len(rows) for rows in found] == [19, 9, 5]


@pytest.mark.parametrize(
    "strays, of, is_person",
    [(4, 4, False), (5, 5, True), (5, 30, False), (6, 30, True)],
)
def test_a_person_is_who_fills_enough_of_a_recording(strays, of, is_person):
    looks = np.concatenate([looks_at(1, 40), looks_at(1, of - strays), looks_at(2, strays)])
    recordings = np.repeat(["a", "b"], [40, of])
    assert [len(rows) for rows in people(looks, recordings)] == [40 + of - strays] + [strays] * is_person


def test_looks_of_which_none_is_like_another_are_nobodys():
    looks = np.eye(8, 128, dtype=np.float32)
    with pytest.raises(Nobody, match="no 5 looks"):
        owner_of(looks, np.repeat("a", 8))


def test_what_does_not_hang_together_is_no_template():
    """Two groups of one person's looks, alike enough in the mean to be one person, yet not one pair of them so."""
    looks = np.zeros((12, 128), np.float32)
    looks[:8, 0] = 1
    looks[8:, :2] = 0.4, np.sqrt(1 - 0.16)
    looks[:, 2:] = 1e-3 * np.random.default_rng(0).standard_normal((12, 126))
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    recordings = np.repeat(["a", "b"], [8, 4])
    assert len(people(looks, recordings)) == 1
    enrolled = owner_of(looks, recordings)
    assert len(enrolled.templates) >= FEWEST and enrolled.recordings == 1
    assert (enrolled.templates[:, 0] > 0.9).all()
    with pytest.raises(Nobody):
        owner_of(looks[4:], recordings[4:])


def test_templates_cover_all_looks_with_no_more_than_it_takes():
    poses = np.concatenate([looks_at(5, 1), looks_at(6, 1)])
    turned = [np.cos(angle) * poses[0] + np.sin(angle) * poses[1] for angle in np.radians(np.arange(0, 80))]
    looks = np.array(turned) / np.linalg.norm(turned, axis=1, keepdims=True)
    rows = chosen(looks)
    assert len(rows) == len(set(rows)) == FEWEST and abs(rows[0] - 40) < 8
    assert {0, 79} <= set(rows) and np.diff(sorted(rows)).max() < 30
    assert len(chosen(looks_at(7, 40, spread=0.9))) == MOST, "where each look is unlike the others"
    assert sorted(chosen(looks_at(7, 5))) == [0, 1, 2, 3, 4]


def test_crops_are_looked_at_evenly_over_recordings_and_time():
    recordings = np.repeat(["long", "short", "longer"], [300, 7, 900])
    time_s = np.concatenate([np.random.default_rng(0).permutation(300), np.arange(7.0), np.arange(900)])
    rows = spread_evenly(recordings, time_s)
    assert len(rows) == len(set(rows)) == MOST_LOOKED_AT
    counts = {name: int((recordings[rows] == name).sum()) for name in set(recordings)}
    assert counts["short"] == 7 and sorted(counts.values()) == [7, 96, 97]
    for name, last in (("long", 299), ("longer", 899)):
        seen = np.sort(time_s[rows][recordings[rows] == name])
        assert (seen[0], seen[-1]) == (0, last) and np.diff(seen).max() <= last / 95 + 1
    np.testing.assert_array_equal(spread_evenly(recordings[295:310], time_s[295:310]), np.arange(15))
    assert len(spread_evenly(np.arange(500).astype(str), np.zeros(500))) <= MOST_LOOKED_AT


def test_faces_are_embedded_in_batches_in_their_order(recognizer, detector, live_frames, tmp_path, monkeypatch):
    files = live_crops(tmp_path, "desk", live_frames[::12], detector)
    whole = enrolled_from(detector, desk=files).templates
    monkeypatch.setattr(enrolment, "BATCH", 3)
    np.testing.assert_allclose(enrolled_from(detector, desk=files).templates, whole, atol=1e-4)
