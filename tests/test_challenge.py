import csv
import itertools
import math
import random
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import WEIGHTS
from hypothesis import given, settings
from hypothesis import strategies as st

import alerts
import challenge
import display
import liveness_main
import session
from authenticator import Look
from challenge import AHEAD, BACK, LEFT, PASSED, PAUSE, RIGHT, Challenge, Prompt, pose
from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

# --- A head of five points: eyes, nose, corners of the mouth, in eye distances; x to the user's left in the
# picture's right, y down, z towards the camera. ---

HEAD = np.array([(-0.5, 0, 0), (0.5, 0, 0), (0, 0.62, 0.5), (-0.4, 1.1, 0.05), (0.4, 1.1, 0.05)])
PHOTO = HEAD * (1, 1, 0)
BOX = np.array([(x, y, 0) for x in (-1, 1) for y in (-0.8, 1.9)])     # of a flat picture of that face
NOBODY = np.empty((0, 15))


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Rotation by degrees; yaw above 0 turns the nose to the user's left."""
    around_y = cv2.Rodrigues(np.array([0, math.radians(yaw), 0]))[0]
    around_x = cv2.Rodrigues(np.array([math.radians(pitch), 0, 0]))[0]
    return cv2.Rodrigues(np.array([0, 0, math.radians(roll)]))[0] @ around_x @ around_y


def seen(points: np.ndarray, rotation: np.ndarray, size: float, at=(0.5, 0.5), flat: bool = False, noise: float = 0,
         near: float = 8, rng=np.random.default_rng(0)) -> np.ndarray:
    """A row as the detector's: `size` is the height of the face's box in pixels, `at` its middle in boxes,
    `near` the distance in eye distances, `noise` the landmarks' jitter in boxes."""
    scale = size / 2.7

    def project(model):
        model = model @ rotation.T
        return model[:, :2] * near / (near - model[:, 2:]) * scale + np.array(at) * size

    landmarks = project(points) + rng.normal(0, noise * size, (5, 2))
    if flat:
        corners = project(BOX)
        (x, y), (w, h) = corners.min(axis=0), np.ptp(corners, axis=0)
    else:   # as deep as wide
        w, h = 2 * scale, size
        x, y = np.array(at) * size - (w / 2, 0.8 * scale)
    return np.array([x, y, w, h, *landmarks.ravel(), 0.93])


class Person:
    """Does what the prompt says, a moment later; speed in degrees a second."""

    def __init__(self, size: float = 200, noise: float = 0.0, reaction_s: float = 0.5, how_far: float = 50,
                 sides={LEFT: 1, RIGHT: -1}, points=HEAD, flat: bool = False, pitch: float = 5, roll: float = -6,
                 speed: float = 100):
        self.sides, self.speed = sides, speed
        self.size, self.noise, self.reaction_s, self.how_far = size, noise, reaction_s, how_far
        self.points, self.flat, self.pitch, self.roll = points, flat, pitch, roll
        self.yaw, self.seen_s, self.kind, self.last_s = 0.0, 0.0, AHEAD, 0.0
        self.rng = np.random.default_rng(7)

    def __call__(self, time_s: float, prompt: Prompt | None) -> np.ndarray:
        kind = prompt.kind if prompt else AHEAD
        if kind != self.kind:
            self.kind, self.seen_s = kind, time_s
        goal = self.sides.get(self.kind, 0) * self.how_far
        if time_s - self.seen_s >= self.reaction_s:
            step = self.speed * (time_s - self.last_s)
            self.yaw += max(-step, min(step, goal - self.yaw))
        self.last_s = time_s
        sway = 0.02 * math.sin(1.3 * time_s), 0.02 * math.sin(0.9 * time_s)
        return seen(self.points, turned(self.yaw, self.pitch, self.roll), self.size, (0.5 + sway[0], 0.5 + sway[1]),
                    self.flat, self.noise, rng=self.rng)[None]


def asks(*order: str, pause_s: float = 0.5) -> Challenge:
    """A challenge that asks for these turns, over and over, in every round."""
    return Challenge(len(order), draw_turns=lambda n: list(itertools.islice(itertools.cycle(order), n)),
                     draw_pause=lambda: pause_s)


def play(asked: Challenge, actor, seconds: float = 12, fps: float = 30, start: float = 0.0, passive=AUTHORIZED):
    """Frames from actor(time_s, prompt); returns [(time_s, state, prompt)]. Ends with a verdict."""
    track = []
    for n in range(round(seconds * fps)):
        time_s = start + n / fps
        faces = actor(time_s, asked.prompt)
        state = asked.update(time_s, faces, passive(time_s) if callable(passive) else passive)
        track.append((time_s, state, asked.prompt))
        if state != CHECKING:
            break
    return track


def states(track) -> list[str]:
    return [state for state, _ in itertools.groupby(item[1] for item in track)]


def reasons(track) -> list[str]:
    """Why there was another round, each time."""
    texts = [item[2].text if item[2] and item[2].kind == PAUSE else None for item in track]
    return [text for text, _ in itertools.groupby(texts) if text]


# --- The pose ---


def test_the_users_left_and_right_are_told_apart():
    for yaw in (20, 40, 60):
        left, right = pose(seen(HEAD, turned(yaw), 100)), pose(seen(HEAD, turned(-yaw), 100))
        assert left > 0 and right == pytest.approx(-left)
    # Far away, the nose is aside by its height over the plane of eyes and mouth, times the tangent.
    assert pose(seen(HEAD, turned(45), 100, near=1e6)) == pytest.approx(0.5 - 0.62 / 1.1 * 0.05, rel=1e-3)
    assert pose(seen(HEAD, turned(45, 20, 30), 100, near=1e6)) > 0.4


def test_left_is_left_in_a_real_picture(live_frames, detector):
    frame = big(live_frames[8])
    face = detector.detect(frame)[0]
    # The nose goes to the picture's right, where his own left is: the picture is not mirrored.
    assert pose(detector.detect(relief(frame, face, 46))[0]) >= challenge.TURNED
    assert pose(detector.detect(relief(frame, face, -46))[0]) <= -challenge.TURNED
    in_a_mirror = cv2.flip(relief(frame, face, 30), 1)
    assert pose(detector.detect(in_a_mirror)[0]) < -0.1 < 0.1 < pose(detector.detect(relief(frame, face, 30))[0])


def test_a_flat_photo_looks_frontal_however_it_is_tilted():
    far = [abs(pose(seen(PHOTO, tilt(axis, angle), 100, flat=True, near=1000)))
           for axis in range(0, 360, 15) for angle in (0, 30, 60, 75)]
    assert max(far) < 0.01
    near = [abs(pose(seen(PHOTO, tilt(axis, angle), 100, flat=True, near=5)))
            for axis in range(0, 360, 15) for angle in (0, 30, 60)]
    assert max(near) < challenge.FRONTAL


def tilt(axis: float, angle: float) -> np.ndarray:
    """Rotation by degrees about an axis in the picture."""
    axis, angle = math.radians(axis), math.radians(angle)
    return cv2.Rodrigues(angle * np.array([math.cos(axis), math.sin(axis), 0]))[0]


def test_no_landmarks_make_a_turn():
    """Eyes and mouth in one point, in one line, or upside down: a detector's mistake, never an answer."""
    for landmarks in (np.zeros(10), np.arange(10), [0, 0, 10, 0, 5, -5, 1, -9, 9, -9]):
        assert pose(np.array([0, 0, 9, 9, *landmarks, 0.9])) == 0.0


# --- Passing ---


@pytest.mark.parametrize("fps", [10, 15, 30, 60])
@pytest.mark.parametrize("order", [[LEFT], [RIGHT, LEFT], [LEFT, LEFT, RIGHT]])
def test_who_follows_passes_at_any_pace(fps, order):
    track = play(asks(*order), Person(), 20, fps)
    assert states(track) == [CHECKING, AUTHORIZED]
    shown = [kind for kind, _ in itertools.groupby(item[2].kind for item in track)]
    asked = [kind for side in order for kind in (AHEAD, side, BACK)]
    assert shown == [*asked, PASSED]
    assert track[-1][0] < 4 * len(order)


@pytest.mark.parametrize("size", [60, 200, 1500])
@pytest.mark.parametrize("pitch, roll", [(0, 0), (15, -10), (-15, 12)])
def test_near_or_far_and_however_the_head_is_held(size, pitch, roll):
    # 0.008 of the box: half a pixel at 60 pixels; the detector's jitter on the sample video is 0.004.
    track = play(asks(RIGHT, LEFT), Person(size, noise=0.008, pitch=pitch, roll=roll))
    assert states(track) == [CHECKING, AUTHORIZED]


def test_the_jitter_assumed_is_no_less_than_the_detectors(live_frames, detector):
    faces = [detector.detect(frame)[0] for frame in live_frames[:20]]
    landmarks = np.array([(face[4:14].reshape(5, 2) - face[4:6]) / face[3] for face in faces])[:, 1:]
    assert np.diff(landmarks, axis=0).std() / math.sqrt(2) < 0.008


def test_a_pass_lasts_while_the_face_stays_and_says_thank_you_for_a_while():
    asked, person = asks(LEFT), Person()
    passed_s = play(asked, person)[-1][0]
    assert asked.prompt.kind == PASSED
    person.sides = {}
    for n in range(1, 300):
        time_s = passed_s + n / 30
        # He looks about, is hidden for a moment, and somebody looks over his shoulder.
        faces = seen(HEAD, turned(40 * math.sin(time_s), 10), 200)[None]
        if n in (50, 51, 52):
            faces = NOBODY
        if 100 < n < 150:
            faces = np.vstack([seen(HEAD, turned(), 90, (3, 1)), faces])
        assert asked.update(time_s, faces, AUTHORIZED) == AUTHORIZED
    assert asked.prompt is None


def test_nothing_is_asked_before_the_passive_evidence_says_live():
    asked = asks(LEFT)
    track = play(asked, Person(), 5, passive=CHECKING)
    assert states(track) == [CHECKING] and {item[2] for item in track} == {None}


def test_the_countdown_runs_from_whole_to_nothing():
    track = play(asks(LEFT), Person(sides={}), 6)
    shares = [item[2].left for item in track if item[2].kind == LEFT]
    assert shares[0] == 1 and shares == sorted(shares, reverse=True) and 0 < shares[-1] < 0.02
    assert len(shares) == pytest.approx(4 * 30, abs=2)


def test_prompts_are_spoken_once_when_they_come():
    asked, person, spoken = asks(LEFT, RIGHT), Person(), []
    for n in range(400):
        asked.update(n / 30, person(n / 30, asked.prompt), AUTHORIZED)
        spoken += [asked.sentence] if asked.sentence else []
    words = challenge.SENTENCES
    assert spoken == [words[LEFT], words[BACK], words[RIGHT], words[BACK]]


def test_the_order_cannot_be_foreseen():
    orders = [tuple(challenge.draw_turns(3)) for _ in range(400)]
    assert len(set(orders)) == 8 and max(map(orders.count, set(orders))) < 100
    pauses = [challenge.draw_pause() for _ in range(400)]
    assert challenge.SHORTEST_PAUSE_S <= min(pauses) < 0.4 and 1.1 < max(pauses) <= challenge.LONGEST_PAUSE_S


# --- Failing ---


def fails_twice(track, reason: str) -> bool:
    """Two rounds failed for that reason, and the second was an unauthorized."""
    return states(track) == [CHECKING, UNAUTHORIZED] and reasons(track) == [reason]


@pytest.mark.parametrize("fps", [10, 60])
def test_the_wrong_turn_fails_and_two_are_an_unauthorized(fps):
    track = play(asks(LEFT), Person(sides={LEFT: -1}), 20, fps)
    assert fails_twice(track, challenge.WRONG)


def test_the_wrong_turn_fails_in_any_place_of_the_order():
    track = play(asks(RIGHT, LEFT), Person(sides={RIGHT: -1, LEFT: -1}), 30)
    assert fails_twice(track, challenge.WRONG)


def test_going_on_to_the_other_side_fails():
    assert fails_twice(play(asks(LEFT), Person(sides={LEFT: 1, BACK: -1}, speed=600), 30), challenge.WRONG)


@pytest.mark.parametrize("side", [1, -1])
def test_a_turn_before_the_prompt_fails(side):
    assert fails_twice(play(asks(LEFT, pause_s=1.2), Person(sides={AHEAD: side}, reaction_s=0.6), 30), challenge.EARLY)


def test_a_turn_sooner_than_anybody_can_react_fails():
    """A recording whose turn happens to begin with the prompt."""
    class Quick(Person):
        def __call__(self, time_s, prompt):
            self.yaw = 50 if prompt and prompt.kind == LEFT else 0
            return super().__call__(time_s, prompt)

    assert fails_twice(play(asks(LEFT), Quick(sides={}, reaction_s=0), 30), challenge.EARLY)


def test_a_small_turn_is_no_answer():
    track = play(asks(LEFT), Person(how_far=25), 30)
    assert states(track) == [CHECKING] and set(reasons(track)) == {challenge.NO_ANSWER}


@pytest.mark.parametrize("yaw", [60, -60])
def test_a_glitch_of_the_landmarks_is_neither_an_answer_nor_a_mistake(yaw):
    glitch = itertools.count()

    def actor(time_s, prompt):
        runs = prompt and (prompt.kind == LEFT or asked._phase == challenge.READY)
        hit = runs and next(glitch) % 9 in (4, 5, 6)        # a tenth of a second
        return seen(HEAD, turned(yaw if hit else 0), 200)[None]

    asked = asks(LEFT)
    track = play(asked, actor, 30)
    assert states(track) == [CHECKING] and set(reasons(track)) == {challenge.NO_ANSWER}


@pytest.mark.parametrize("value, factor", [(2, 0.75), (14, 0.85)])
def test_a_turn_in_a_box_as_narrow_as_a_tilted_photos_or_seen_with_doubt_is_no_answer(value, factor):
    class Doubtful(Person):
        def __call__(self, time_s, prompt):
            faces = super().__call__(time_s, prompt)
            if abs(self.yaw) > 20:
                faces[0, value] *= factor
            return faces

    track = play(asks(LEFT), Doubtful(), 12)
    assert states(track) == [CHECKING] and set(reasons(track)) == {challenge.NO_ANSWER}


@pytest.mark.parametrize("when", [AHEAD, LEFT, BACK])
@pytest.mark.parametrize("event, frames, reason", [
    ("leave", 11, challenge.LOST), ("leave", 7, None),
    ("swap", 1, challenge.SWAPPED), ("other size", 1, challenge.SWAPPED),
    ("second face", 6, challenge.CROWD), ("second face", 3, None),
])
def test_one_and_the_same_face_throughout(when, event, frames, reason):
    """Each at the third frame of the look ahead, of the turn, of the way back; what is short enough passes."""
    person, since = Person(reaction_s=0.4), itertools.count()
    round_runs = []

    def actor(time_s, prompt):
        faces = person(time_s, prompt)
        round_runs.append(prompt is not None and asked._phase in challenge.ROUND)
        if not (prompt and prompt.kind == when and round_runs[-1]) and not round_hit:
            return faces
        n = next(since)
        round_hit.append(n)
        if not 3 <= n < 3 + frames:
            return faces
        if event == "leave":
            return NOBODY
        if event == "second face":
            return np.vstack([faces, seen(HEAD, turned(), 80, (4, 1))])
        return seen(HEAD, turned(person.yaw), *((200, (1.6, 0.5)) if event == "swap" else (340, (0.3, 0.3))))[None]

    round_hit: list[int] = []
    asked = asks(LEFT)
    track = play(asked, actor, 15)
    assert track[-1][1] == AUTHORIZED
    if reason:
        assert reasons(track) == [reason]
    else:
        assert not reasons(track)


def test_a_passive_verdict_of_fake_fails_it_at_once():
    asked, person = asks(LEFT), Person()
    track = play(asked, person, passive=lambda time_s: AUTHORIZED if time_s < 2 else UNAUTHORIZED)
    assert states(track) == [CHECKING, UNAUTHORIZED] and track[-1][0] == pytest.approx(2, abs=0.05)
    assert len(asked._failed) == 1


def test_whoever_failed_twice_is_barred_until_he_goes():
    asked = asks(LEFT)
    end = play(asked, Person(sides={LEFT: -1}), 20)[-1][0]
    person = Person()
    assert {state for _, state, _ in play(asked, person, 10, start=end)} == {UNAUTHORIZED}
    visit = asked.visit
    for n in range(5):
        state = asked.update(end + 11 + n / 30, NOBODY, CHECKING)
    assert state == CHECKING and asked.visit == visit + 1
    # The incident is done with: whoever comes next has two rounds again.
    clumsy = Person(sides={LEFT: -1})
    track = play(asked, clumsy, 2.9, start=end + 12)
    assert states(track) == [CHECKING] and reasons(track) == [challenge.WRONG]
    assert states(play(asked, Person(), 10, start=end + 15)) == [CHECKING, AUTHORIZED]


def test_a_pass_wipes_the_slate():
    asked = asks(LEFT)
    play(asked, Person(sides={}), 6)            # no answer
    play(asked, Person(sides={LEFT: -1}), 6, start=6)       # and a wrong one
    assert asked._failed and asked._unanswered
    end = play(asked, Person(), 20, start=12)
    assert end[-1][1] == AUTHORIZED
    asked.update(end[-1][0] + 0.1, NOBODY, CHECKING)
    track = play(asked, Person(sides={LEFT: -1}), 3.5, start=end[-1][0] + 1)
    assert states(track) == [CHECKING] and reasons(track) == [challenge.WRONG]
    assert {item[2].turns for item in track} == {1}


def test_a_failed_round_is_remembered_when_the_face_goes_and_forgotten_after_ten_minutes():
    for away_s, last in ((30, UNAUTHORIZED), (challenge.FORGET_S + 30, CHECKING)):
        asked = asks(LEFT)

        def fail(start):
            person = Person(sides={LEFT: -1})
            return [asked.update(start + n / 30, person(start + n / 30, asked.prompt), AUTHORIZED) for n in range(80)]

        assert fail(0)[-1] == CHECKING and len(asked._failed) == 1
        asked.update(5, NOBODY, CHECKING)
        assert fail(away_s)[-1] == last


def test_no_answer_is_no_alarm_but_the_next_round_is_later_and_longer():
    track = play(Challenge(2), Person(sides={}), 200, 10)
    assert states(track) == [CHECKING]
    assert set(reasons(track)) == {challenge.NO_ANSWER}
    rounds = [(kind, list(items)) for kind, items in itertools.groupby(track, lambda item: item[2].kind)]
    lengths = [items[0][2].turns for kind, items in rounds if kind in (LEFT, RIGHT)]
    assert lengths == [2, 3, 4, 5, 6, 6, 6][: len(lengths)] and len(lengths) >= 6
    pauses = [items[-1][0] - items[0][0] for kind, items in rounds if kind == PAUSE]
    assert pauses[:5] == pytest.approx([2, 4, 8, 16, 32], abs=0.3)


def test_who_does_not_come_back_from_a_turn_is_not_authorized():
    track = play(asks(LEFT), Person(sides={LEFT: 1, BACK: 1}), 9)
    assert states(track) == [CHECKING] and reasons(track)[0] == challenge.NO_ANSWER


@pytest.mark.parametrize("gap_s", [0, 0.25, 0.5])
def test_swapping_the_head_for_a_photo_after_the_challenge_starts_a_new_visit(gap_s):
    asked = asks(LEFT)
    end = play(asked, Person())[-1][0]
    visit = asked.visit
    photo = seen(PHOTO, turned(), 260, (0.9, 0.5), flat=True)
    for n in range(round(gap_s * 30)):
        asked.update(end + (n + 1) / 30, NOBODY, AUTHORIZED)
    assert asked.update(end + gap_s + 1 / 15, photo[None], AUTHORIZED) == CHECKING
    assert asked.visit == visit + 1
    track = play(asked, Person(points=PHOTO, flat=True), 30, start=end + 1)
    assert states(track) == [CHECKING]


def test_in_a_crowd_nothing_is_asked_and_nothing_fails():
    def actor(time_s, prompt):
        return np.vstack([seen(HEAD, turned(), 200), seen(HEAD, turned(), 150, (4, 1))])

    asked = asks(LEFT)
    track = play(asked, actor, 10)
    assert states(track) == [CHECKING] and {item[2].text for item in track} == {challenge.CROWD}
    assert not asked._failed


# --- Attacks ---


@pytest.mark.parametrize("how_far", [35, 50, 65])
def test_a_photo_that_is_turned_at_every_prompt_is_no_head(how_far):
    for near, pitch in itertools.product((4, 8, 1000), (-40, 0, 40)):
        class Photo(Person):
            def __call__(self, time_s, prompt):
                super().__call__(time_s, prompt)
                return seen(PHOTO, turned(self.yaw, pitch), 200, flat=True, near=near)[None]

        assert AUTHORIZED not in states(play(asks(LEFT), Photo(how_far=how_far), 12, 15))


def test_a_replay_has_the_chance_that_the_docstring_says():
    """The strongest recording: its turns come just when they are due, but in its own order."""
    toss = random.Random(1)
    for turns, rounds, expected in ((1, 200, 0.75), (2, 200, 0.4375), (3, 200, 0.2344)):
        assert f"{100 * expected:.0f} %" in challenge.__doc__
        passed = 0
        for _ in range(rounds):
            recorded = itertools.cycle([toss.choice((LEFT, RIGHT)) for _ in range(turns)])
            asked = Challenge(turns, draw_turns=lambda n: [toss.choice((LEFT, RIGHT)) for _ in range(n)],
                              draw_pause=lambda: 0.3)
            passed += replay(asked, recorded) == AUTHORIZED
        spread = math.sqrt(expected * (1 - expected) / rounds)
        assert abs(passed / rounds - expected) < 3.5 * spread, turns


FRONT, TO_LEFT, TO_RIGHT = (seen(HEAD, turned(yaw), 200)[None] for yaw in (0, 50, -50))


def replay(asked: Challenge, recorded) -> str:
    """Play the next recorded turn at each prompt for a turn, whatever it asks for, at 10 frames/s."""
    showing, since = FRONT, 0.0
    for n in itertools.count():
        time_s, prompt = n / 10, asked.prompt
        if prompt and prompt.kind in (LEFT, RIGHT) and showing is FRONT:
            since += 0.1
            if since > 0.35:
                showing, since = TO_LEFT if next(recorded) == LEFT else TO_RIGHT, 0.0
        elif not prompt or prompt.kind not in (LEFT, RIGHT):
            showing, since = FRONT, 0.0
        if asked.update(time_s, showing, AUTHORIZED) != CHECKING:
            return asked.state


def test_the_sample_video_answers_no_prompt(live_frames, detector):
    """A real recording of a man who talks and looks about, and turns his head by no more than a little."""
    faces = [detector.detect(frame) for frame in live_frames]
    for order, start in itertools.product(([LEFT], [RIGHT]), range(0, 120, 30)):
        there_and_back = faces[start:] + faces[::-1] + faces
        asked = asks(*order)
        seen_states = {asked.update(n / 30, found, AUTHORIZED) for n, found in enumerate(there_and_back)}
        assert AUTHORIZED not in seen_states


# --- Attacks and a head in real pixels, through the real detector ---


def big(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, (352, 288), interpolation=cv2.INTER_CUBIC)


def relief(frame: np.ndarray, face: np.ndarray, yaw: float) -> np.ndarray:
    """The frame with its head, an ellipsoid with a nose that wears the frame's own pixels, turned by so many
    degrees; above 0: to the user's left."""
    right_eye, left_eye = face[4:6].astype(float), face[6:8].astype(float)
    middle, unit = (right_eye + left_eye) / 2, math.dist(right_eye, left_eye)
    fine = 720
    y, x = np.mgrid[-1.5:2.4:fine * 1j, -1.15:1.15:fine * 1j].astype(np.float32)
    inside = 1 - (x / 1.15) ** 2 - ((y - 0.45) / 1.9) ** 2
    z = 1.2 * np.sqrt(np.maximum(inside, 0)) - 0.2 + 0.55 * np.exp(-((x / 0.22) ** 2) - ((y - 0.55) / 0.3) ** 2)
    places = np.stack([middle[0] + x * unit, middle[1] + y * unit], axis=-1).astype(np.float32)
    skin = cv2.remap(frame, places, None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    sin, cos = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
    column = np.round(middle[0] + (x * cos + z * sin) * unit).astype(int)
    row = np.round(middle[1] + y * unit).astype(int)
    depth = z * cos - x * sin
    height, width = frame.shape[:2]
    drawn = (inside > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    order = np.argsort(depth[drawn], kind="stable")     # what is nearer is drawn last
    picture = frame.copy()
    picture[row[drawn][order], column[drawn][order]] = skin[drawn][order]
    return picture


@pytest.fixture(scope="module")
def turning(live_frames, detector) -> dict[int, np.ndarray]:
    """Pictures of the sample's head by degrees of its turn."""
    frame = big(live_frames[8])
    face = detector.detect(frame)[0]
    return {yaw: relief(frame, face, yaw) if yaw else frame for yaw in (-46, -40, -30, -20, -10, 0, 10, 20, 30, 40, 46)}


@pytest.mark.parametrize("order", [[LEFT], [RIGHT, LEFT]])
def test_a_head_in_real_pixels_passes(turning, detector, order):
    found = {yaw: detector.detect(picture) for yaw, picture in turning.items()}

    class Real(Person):
        def __call__(self, time_s, prompt):
            super().__call__(time_s, prompt)
            return found[min(found, key=lambda yaw: abs(yaw - self.yaw))]

    assert states(play(asks(*order), Real(how_far=46), 20)) == [CHECKING, AUTHORIZED]
    assert states(play(asks(*order), Real(how_far=46, sides={LEFT: -1, RIGHT: 1}), 20)) == [CHECKING, UNAUTHORIZED]


PHOTO_SIDE = 160


def printed(photo: np.ndarray, rotation: np.ndarray, bend: float, bend_axis: float, near: float) -> np.ndarray:
    """A print, uint8 (PHOTO_SIDE, PHOTO_SIDE, 3), bent to an arc of `bend` radians about an axis in its plane,
    turned, and seen from `near` halves of its width. A grid of the print is mapped by homographies, cell by cell."""
    steps = 9 if bend else 2
    u, v = np.meshgrid(*[np.linspace(-1, 1, steps)] * 2)
    cos, sin = math.cos(bend_axis), math.sin(bend_axis)
    along, across = u * cos + v * sin, v * cos - u * sin
    depth = np.zeros_like(u)
    if bend:
        radius = 2 / bend
        depth, along = radius * (np.cos(along / radius) - 1), radius * np.sin(along / radius)
    paper = np.stack([along * cos - across * sin, along * sin + across * cos, depth], axis=-1) @ rotation.T
    corners = (paper[..., :2] * near / (near - paper[..., 2:]) * 0.36 + 0.5) * PHOTO_SIDE
    source = np.stack([u, v], axis=-1) * (PHOTO_SIDE / 2) + PHOTO_SIDE / 2
    picture = np.full_like(photo, (150, 160, 150))
    cells = sorted(itertools.product(range(steps - 1), repeat=2), key=lambda at: paper[at[0], at[1], 2])
    for i, j in cells:
        cell = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
        here = np.array([source[at] for at in cell], np.float32)
        there = np.array([corners[at] for at in cell], np.float32)
        mapped = cv2.warpPerspective(photo, cv2.getPerspectiveTransform(here, there), (PHOTO_SIDE, PHOTO_SIDE))
        mask = np.zeros((PHOTO_SIDE, PHOTO_SIDE), np.uint8)
        cv2.fillConvexPoly(mask, np.round(there * 4).astype(np.int32), 255, shift=2)
        picture[mask > 0] = mapped[mask > 0]
    return picture


def attack(photo: np.ndarray, detector, rng: np.random.Generator) -> list[np.ndarray]:
    """What the detector sees of a photo that is moved, tilted about some axis to some 25 to 65 degrees, bent
    meanwhile or not, held, and brought back; a frame each tenth of a second."""
    axis, angle = rng.uniform(0, 360), rng.uniform(25, 65)
    if rng.random() < 0.5:      # most attackers try the vertical one, it looks like turning
        axis = rng.choice([90, 270]) + rng.normal(0, 8)
    bend = rng.choice([0, 0, rng.uniform(0.4, 1.5)])
    bend_axis, near, roll = rng.uniform(0, math.pi), rng.uniform(2, 8), rng.normal(0, 5)
    found = []
    for share in (0, 0.35, 0.7, 1, 1, 1, 0.7, 0.35):
        rotation = tilt(axis, share * angle) @ turned(roll=roll)
        shift = np.float32([[1, 0, 4 * share], [0, 1, 3 * share]])
        picture = printed(photo, rotation, share * bend, bend_axis, near)
        found.append(detector.detect(cv2.warpAffine(picture, shift, (PHOTO_SIDE, PHOTO_SIDE), None, cv2.INTER_LINEAR,
                                                    cv2.BORDER_REPLICATE)))
    return found


def test_a_hundred_photos_tilted_bent_and_moved_at_the_prompt_fail(live_frames, detector):
    rng = np.random.default_rng(3)
    seen_at_all = far = 0
    for number in range(100):
        frame = live_frames[rng.integers(0, 80)]
        x, y, w, h = detector.detect(frame)[0][:4]
        side = 2 * max(w, h)
        scale = PHOTO_SIDE / side
        window = np.float32([[scale, 0, PHOTO_SIDE / 2 - scale * (x + w / 2)],
                             [0, scale, PHOTO_SIDE / 2 - scale * (y + h / 2)]])
        photo = cv2.warpAffine(frame, window, (PHOTO_SIDE, PHOTO_SIDE), None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        movement = attack(photo, detector, rng)
        seen_at_all += len(movement[0]) == 1
        far += len(movement[4]) == 1
        for side in (LEFT, RIGHT):
            asked, moves = asks(side, pause_s=0.3), itertools.cycle(movement)
            track = play(asked, lambda _, prompt: next(moves) if prompt and prompt.kind in (LEFT, RIGHT)
                         else movement[0], 8, 10)
            assert AUTHORIZED not in states(track), (number, side)
    assert seen_at_all > 90 and far > 50, "photos that are not seen prove nothing"


# --- What holds whatever comes ---

ANY_FACE = st.builds(
    lambda yaw, at, size, sure, flat: np.append(
        seen(PHOTO if flat else HEAD, turned(yaw), size, (at, 0.5), flat)[:14], sure),
    st.sampled_from([-70, -50, -20, 0, 0, 0, 20, 50, 70]), st.sampled_from([0.5, 0.5, 0.5, 0.7, 2]),
    st.sampled_from([100, 100, 100, 180]), st.sampled_from([0.95, 0.95, 0.6]), st.booleans())
ANY_STRETCH = st.tuples(
    st.sampled_from([1, 3, 10, 30]),                            # so many frames
    st.sampled_from([1 / 60, 1 / 30, 0.1, 0.1, 0.4, 2]),        # so far apart
    st.lists(ANY_FACE, min_size=0, max_size=2) | st.lists(ANY_FACE, min_size=1, max_size=1),
    st.sampled_from([AUTHORIZED] * 5 + [CHECKING, UNAUTHORIZED]))


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_STRETCH, max_size=25), st.integers(1, 3))
def test_invariants(stretches, turns):
    asked, time_s, before, kind = Challenge(turns), 0.0, CHECKING, None
    prompted, passed_visit = [], None
    for count, step, faces, passive in stretches:
        rows = np.array(faces).reshape(-1, 15)
        for _ in range(count):
            time_s += step
            state, prompt = asked.update(time_s, rows, passive), asked.prompt
            assert state == asked.state
            if passive == UNAUTHORIZED:
                assert state == UNAUTHORIZED
            if state == AUTHORIZED:
                assert passive == AUTHORIZED
            if prompt:
                assert passive == AUTHORIZED and state != UNAUTHORIZED
                assert prompt.left is None or 0 <= prompt.left <= 1
                assert 0 <= prompt.done <= prompt.turns and turns <= prompt.turns <= turns + challenge.MOST_EXTRA_TURNS
                assert prompt.text
                if prompt.kind in (LEFT, RIGHT) and kind != prompt.kind:
                    assert asked.sentence == challenge.SENTENCES[prompt.kind]
                    prompted.append(prompt.kind)
            if state == AUTHORIZED and before != AUTHORIZED:
                # One verdict for one visit, and not before all turns were asked for.
                assert asked.visit != passed_visit and len(prompted) >= turns
                passed_visit, prompted = asked.visit, []
            before, kind = state, prompt.kind if prompt else None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-15, 0, 0, 10, 15]), st.integers(1, 60)), max_size=30), st.integers(1, 3))
def test_whoever_only_looks_ahead_is_never_an_intruder(looks, turns):
    asked, frame = Challenge(turns), itertools.count()
    for yaw, count in looks:
        for _ in range(count):
            assert asked.update(next(frame) / 10, seen(HEAD, turned(yaw), 100)[None], AUTHORIZED) == CHECKING


# --- In the authenticator ---


@pytest.mark.parametrize("size", [(240, 320), (656, 368), (720, 1280), (2160, 3840)])
@pytest.mark.parametrize("kind", [LEFT, RIGHT])
def test_the_arrow_stands_on_the_side_it_points_to(size, kind):
    prompt = Prompt(kind, challenge.TEXTS[kind], 0.5, 0, 2)
    picture = display.annotate(np.zeros((*size, 3), np.uint8), display.View(NOBODY, CHECKING, prompt=prompt))
    height, width = size
    amber = (np.abs(picture.astype(int) - display.PROMPT_COLOURS[kind]).max(axis=-1) < 3)
    bar = int(np.flatnonzero(amber[:, 0]).max())        # the countdown's last row
    assert amber[bar].sum() == pytest.approx(width / 2, abs=2)
    arrow = np.argwhere(amber[: bar - height // 60])
    columns = arrow[:, 1] if kind == LEFT else width - 1 - arrow[:, 1]
    assert columns.max() < width / 4 and np.ptp(columns) > width / 20 and np.ptp(arrow[:, 0]) > 10
    # The head of the arrow, where it is tallest, is nearer to its edge than the tail.
    tall = np.bincount(columns)
    assert tall.argmax() < (columns.min() + columns.max()) / 2
    words = np.flatnonzero((picture[: bar - 1] > 240).all(axis=-1).any(axis=0))
    assert np.ptp(words) > width / 4, "words as wide as a quarter of the picture"
    assert 0 < words.min() and words.max() < width - 1
    if kind == LEFT:
        assert words.min() > columns.max()
    else:
        assert words.max() < width - 1 - columns.max()


@pytest.fixture
def watch(trained, tmp_path, monkeypatch):
    """Run the authenticator on a video with challenges of a known order; returns its status and its scores."""
    monkeypatch.chdir(tmp_path)

    def start(source, order, *options):
        monkeypatch.setattr(challenge, "Challenge", lambda turns: asks(*order))
        status = liveness_main.main(["--model", str(trained.model), "--le", str(trained.le), "--detector", str(WEIGHTS),
                                     "--source", str(source), "--no-display", "--no-voice", "--scores", "scores.csv",
                                     "--challenge", str(len(order)), *options])
        with open(tmp_path / "scores.csv", newline="") as file:
            return status, list(csv.DictReader(file))

    return start


@pytest.fixture
def obedient(turning, write_video):
    """A video of the sample's head that looks ahead for 2.2 s, turns to one side, and comes back."""
    def write(side: int):
        degrees = [0] * 66 + [10, 20, 30, 40] + [46] * 12 + [40, 30, 20, 10] + [0] * 30
        return write_video([turning[side * yaw] for yaw in degrees], f"turn{side}.avi", "MJPG")

    return write


def test_the_gate_opens_for_the_right_turn(watch, obedient, tmp_path):
    status, rows = watch(obedient(1), [LEFT], "--once")
    assert status == 0
    verdicts = [row["verdict"] for row in rows]
    assert verdicts == [CHECKING] * (len(rows) - 1) + [AUTHORIZED]
    assert 2.5 < float(rows[-1]["time_s"]) < 4
    assert not (tmp_path / "incidents").exists()


def test_the_gate_stays_shut_for_no_turn_and_for_the_wrong_one(watch, obedient, sample, tmp_path, capsys):
    status, rows = watch(sample.real, [LEFT], "--once")
    assert status == 3 and {row["verdict"] for row in rows} == {CHECKING}
    assert "no verdict" in capsys.readouterr().err
    status, rows = watch(obedient(1), [RIGHT], "--once")
    assert status == 3 and {row["verdict"] for row in rows} == {CHECKING}
    assert not (tmp_path / "incidents").exists()


def test_two_wrong_turns_are_an_incident(watch, turning, write_video, tmp_path):
    once = [0] * 66 + [20, 40] + [46] * 12 + [40, 20] + [0] * 15
    twice = write_video([turning[yaw] for yaw in once + [0] * 60 + once], "wrong.avi", "MJPG")
    status, rows = watch(twice, [RIGHT], "--once")
    assert status == 1 and rows[-1]["verdict"] == UNAUTHORIZED
    assert AUTHORIZED not in {row["verdict"] for row in rows}
    (incident,) = (tmp_path / "incidents").iterdir()
    assert (incident / "snapshot.jpg").is_file() and list((incident / "frames").iterdir())


def test_a_replay_is_unauthorized_without_waiting_for_an_answer(watch, sample):
    status, rows = watch(sample.fake, [LEFT], "--once")
    assert status == 1 and float(rows[-1]["time_s"]) <= 1


def test_a_prompt_overtakes_the_sentences_that_wait(monkeypatch):
    guard = alerts.Alerts(alerts.Settings(location=alerts.LocationSettings("")), rehearsal=True, voice=False)
    spoken = []
    monkeypatch.setattr(guard, "say", lambda text, overtake: spoken.append((text, overtake)))
    sentences = ["", challenge.SENTENCES[LEFT]]
    source = SimpleNamespace(live=False, name="file")
    looking = (item for item in [(0, 0.0, None, None), (1, 0.03, None, None)])
    judge = SimpleNamespace(judge=lambda time_s, frame, found: Look(
        NOBODY, [], False, CHECKING, 0.0, 0.0, (0, 0), False, None, sentences.pop(0)))
    session.watch(source, looking, judge, guard, None, None, session.Ending(), liveness_main.Stop())
    guard.close(0)
    assert spoken == [(challenge.SENTENCES[LEFT], True)]


def test_prompts_that_nobody_sees_or_hears_are_refused_before_a_camera():
    def check(turns, live, no_display, no_voice, voice=True):
        args = SimpleNamespace(challenge=turns, no_display=no_display, no_voice=no_voice)
        settings = alerts.Settings(voice=alerts.VoiceSettings(voice))
        liveness_main.refuse_unseen_prompts(args, settings, SimpleNamespace(live=live))

    for refused in ((1, True, True, True), (1, True, True, False, False)):
        with pytest.raises(liveness_main.OptionsError, match="--challenge"):
            check(*refused)
    for fine in ((0, True, True, True), (1, False, True, True), (1, True, False, True), (1, True, True, False)):
        check(*fine)


@pytest.mark.parametrize("number", ["-1", "1.5", "ten", "10"])
def test_a_senseless_number_of_turns_is_told_in_one_line(run, number):
    done = run("liveness_main.py", "-m", "m", "-l", "l", f"--challenge={number}")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "--challenge" in done.stderr
