"""Which face of a picture goes on as which of the picture before."""

import math

import numpy as np
import pytest
from identity_parts import Somebody, picture

from authentication.tracks import (
    ALIKE_S,
    GAP_S,
    JUMP,
    LONGEST_GAP_S,
    RESIZE,
    SIZE_TIME_S,
    SPEED,
    Tracks,
)
from authentication.verdict import Verdict

FPS = 30
MOST = JUMP + SPEED / FPS  # of its size, from one picture to the next
ONE, TWO = Somebody(x=150), Somebody(x=480, size=140, looks="two")


def numbers(tracks: Tracks, time_s: float, *people: Somebody) -> list[int]:
    return [track.number for track in tracks.follow(time_s, *picture(*people))]


def ended(tracks: Tracks) -> list[int]:
    return [track.number for track in tracks.ended]


@pytest.fixture
def tracks():
    return Tracks(Verdict)


def test_a_face_that_moves_turns_and_grows_stays_the_same(tracks):
    for n in range(90):
        swing = math.sin(n / 15)
        face = Somebody(x=300 + 150 * swing, size=160 * (1 + 0.3 * swing), turn=50 * swing)
        assert numbers(tracks, n / FPS, face) == [1]
        assert not tracks.ended and not tracks.paused


def test_the_sample_is_one_face_from_beginning_to_end(tracks, detector, live_frames):
    seen = [tracks.follow(n / FPS, frame, detector.detect(frame)) for n, frame in enumerate(live_frames)]
    assert {track.number for one in seen for track in one} == {1}


@pytest.mark.parametrize("share, same", [(0.9, True), (1.1, False)])
@pytest.mark.parametrize("angle", [0, 1, 2.5])
def test_a_jump_that_no_head_makes_ends_the_track(tracks, share, same, angle):
    numbers(tracks, 0, Somebody(x=300))
    far = share * MOST * 160
    there = Somebody(x=300 + far * math.cos(angle), y=200 + far * math.sin(angle))
    assert numbers(tracks, 1 / FPS, there) == [1 if same else 2]


@pytest.mark.parametrize("factor, same", [(0.95 * RESIZE, True), (1.05 * RESIZE, False)])
@pytest.mark.parametrize("grows", [True, False])
def test_a_change_of_size_that_no_head_makes_ends_the_track(tracks, factor, same, grows):
    numbers(tracks, 0, ONE)
    other = ONE.but(size=ONE.size * (factor if grows else 1 / factor))
    # At the same place: a row's middle is that of the eyes.
    other = other.but(y=ONE.y + 0.2 * (ONE.size - other.size))
    assert numbers(tracks, 1 / FPS, other) == [1 if same else 2]


def test_another_face_in_the_same_place_is_another_track(tracks):
    numbers(tracks, 0, ONE)
    assert numbers(tracks, 1 / FPS, ONE.but(looks="other")) == [2] and ended(tracks) == [1]
    assert numbers(tracks, 2 / FPS, ONE.but(looks="blurred other")) == [2], "blur does not end it"
    later = 2 / FPS + ALIKE_S + 0.01
    assert numbers(tracks, later, ONE.but(looks="blurred other")) == [2]


def test_what_changes_the_light_does_not_end_a_track(tracks):
    frame, faces = picture(ONE)
    assert [track.number for track in tracks.follow(0, frame, faces)] == [1]
    for n, darker in enumerate((frame // 2, frame // 20, np.zeros_like(frame), frame // 2 + 120), start=1):
        assert [track.number for track in tracks.follow(n / FPS, darker, faces)] == [1]


def test_a_face_that_is_missed_for_a_moment_goes_on_and_after_a_gap_does_not(tracks):
    pictures = [n / FPS for n in range(round(GAP_S * FPS) + 1)]
    numbers(tracks, 0, ONE)
    for time_s in pictures[1:-1]:
        assert numbers(tracks, time_s) == []
    assert numbers(tracks, pictures[-1], ONE) == [1] and not tracks.ended
    for time_s in pictures[1:]:
        numbers(tracks, GAP_S + time_s)
    assert numbers(tracks, 2 * GAP_S + 0.02, ONE) == [2] and ended(tracks) == [1]


def test_a_gap_in_the_pictures_ends_every_track(tracks):
    for n in range(10):
        numbers(tracks, n / FPS, ONE, TWO)
    assert numbers(tracks, 0.3 + GAP_S, ONE, TWO) == [1, 2] and not tracks.paused
    assert numbers(tracks, 0.35 + 2 * GAP_S, ONE, TWO) == [3, 4]
    assert ended(tracks) == [1, 2] and tracks.paused


def test_a_track_ends_also_while_no_picture_comes(tracks):
    numbers(tracks, 0, ONE)
    tracks.wait(GAP_S)
    assert not tracks.ended
    tracks.wait(GAP_S + 0.01)
    assert ended(tracks) == [1]
    tracks.wait(GAP_S + 0.02)
    assert not tracks.ended, "once"


@pytest.mark.parametrize("interval_s, same", [(0.5, True), (0.9 * LONGEST_GAP_S, True), (1.1 * LONGEST_GAP_S, False)])
def test_the_gap_follows_a_slow_camera_but_not_beyond_all_bounds(tracks, interval_s, same):
    seen = [numbers(tracks, n * interval_s, ONE)[0] for n in range(6)]
    assert seen == ([1] * 6 if same else [1, 2, 3, 4, 5, 6])


def test_one_slow_picture_does_not_make_the_camera_a_slow_one(tracks):
    time_s = 0.0
    for n in range(20):
        time_s += 1 / FPS if n % 4 else 1.2 * GAP_S
        number = numbers(tracks, time_s, ONE)[0]
    assert number == 1 + 4


def test_the_nearest_is_the_same_and_each_only_once(tracks):
    numbers(tracks, 0, ONE, TWO)
    order = [TWO.but(x=470), ONE.but(x=155)]
    assert numbers(tracks, 1 / FPS, *order) == [2, 1]
    # Two faces within reach of one track: the nearer goes on, the other is new.
    assert numbers(tracks, 2 / FPS, ONE.but(x=165, looks="third"), ONE.but(x=156), TWO) == [3, 1, 2]
    # One face within reach of two tracks.
    assert numbers(tracks, 3 / FPS, ONE.but(x=157), TWO) == [1, 2]


def test_faces_that_pass_each_other_keep_their_tracks(tracks):
    for n in range(90):
        left, right = ONE.but(x=150 + 3 * n, y=140), TWO.but(x=480 - 3 * n, y=300)
        pair, expected = ([right, left], [2, 1]) if n % 2 else ([left, right], [1, 2])
        assert numbers(tracks, n / FPS, *pair) == expected


def test_the_size_follows_the_box_within_a_moment_and_is_a_share_of_the_pictures_height(tracks):
    track = tracks.follow(0, *picture(ONE.but(size=120)))[0]
    assert track.size == pytest.approx(0.25)
    tracks.follow(1 / FPS, *picture(ONE.but(size=144)))
    assert 0.25 < track.size < 0.28, "one box that is too large is no growth"
    for n in range(2, 2 + round(5 * SIZE_TIME_S * FPS)):
        tracks.follow(n / FPS, *picture(ONE.but(size=144)))
    assert track.size == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize("back_s", [0.01, 5.0])
def test_a_clock_that_runs_backwards_ends_every_track(tracks, back_s):
    numbers(tracks, 10, ONE)
    assert numbers(tracks, 10 - back_s, ONE) == [2] and ended(tracks) == [1]
    assert numbers(tracks, 10 - back_s + 1 / FPS, ONE) == [2]


def test_stills_need_not_have_to_do_with_each_other():
    tracks = Tracks(Verdict, related=False)
    for time_s, face in enumerate((ONE, TWO, ONE.but(size=60, looks="three"), Somebody(x=500, y=400, size=60))):
        assert numbers(tracks, time_s, face) == [1]
        assert not tracks.ended and not tracks.paused
    assert numbers(tracks, 9, TWO.but(size=50, x=100), ONE)[1] == 1, "the largest"


def test_a_face_that_turns_out_to_be_another_begins_anew_where_it_is(tracks):
    before = tracks.follow(0, *picture(ONE))[0]
    before.liveness.update(0.1, -3.0)
    other = tracks.replace(before)
    assert other.number == 2 and other.liveness.evidence == 0 and (other.face == before.face).all()
    assert ended(tracks) == [1]
    assert numbers(tracks, 1 / FPS, ONE) == [2]
