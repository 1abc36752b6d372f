"""The frame loop on a real stream that misbehaves; what is shown is noted where the window would show it."""

import re
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from alerts_parts import quiet_guard, wait_for
from camera_parts import QUICK, SOON, stream

import livenessnet
from alerts import Alerts, IncidentsSettings, LocationSettings, Settings, load_settings
from authentication.absence import Absence
from authentication.acting import AWAY_S, LOCKS_WITHIN_S
from authentication.authenticator import Authenticator, Face, Judgement, look_for_faces
from authentication.drawing import annotate
from authentication.interruption import Stop
from authentication.prompts import LEFT, SENTENCES
from authentication.scoring import Scorer
from authentication.session import Ending, watch
from authentication.verdict import (
    AUTHORIZED,
    CHALLENGE,
    CHECKING,
    PICTURE,
    REPLAY,
    STRANGER,
    TOO_SLOW,
    UNAUTHORIZED,
    UNKNOWN,
    Verdict,
)
from authentication.view import View
from capture.opening import open_source
from capture.source import SourceError

ENOUGH = 40 * SOON  # frames, or notices that there is none


@pytest.fixture
def parts(trained, detector, witness, tmp_path):
    """All that watch() takes beside source and window."""
    alerts = Alerts(load_settings(None), tmp_path / "incidents", rehearsal=True, voice=False)
    authenticator = Authenticator(Scorer(livenessnet.load(trained.model, trained.le), witness), Verdict())
    yield SimpleNamespace(detector=detector, authenticator=authenticator, alerts=alerts)
    alerts.close()


def watch_with(parts, source, screen, ending=Ending(), stop=None, absence=None):
    found = look_for_faces(source, parts.detector)
    outcome = watch(source, found, parts.authenticator, parts.alerts, screen, None, ending, stop or Stop(), absence)
    return outcome.judgement


class Screen:
    """Stands where the window stands: quits once a story, a list of conditions on (picture, view), has come true."""

    def __init__(self, *story):
        self.story, self.shown = list(story), []

    def show(self, picture, view, wait_s, mirror) -> bool:
        assert mirror, "a camera's picture is a mirror"
        self.shown.append((picture, view))
        assert len(self.shown) < ENOUGH, self.story
        if self.story[0](picture, view):
            del self.story[0]
        return bool(self.story)


def test_a_stream_that_freezes_ends_the_track_and_the_next_picture_begins_another(camera_server, parts):
    def freeze(picture, view):
        if view.state == AUTHORIZED:
            camera_server.mode = "repeat"
        return view.state == AUTHORIZED

    def thaw(picture, view):
        if view.trouble and view.state == CHECKING:
            camera_server.mode = "run"
            return True

    screen = Screen(
        freeze,
        lambda picture, view: picture is None and "the same picture" in view.trouble,
        thaw,
        lambda picture, view: picture is not None and view.state == AUTHORIZED and not view.trouble,
    )
    with stream(camera_server) as source:
        judgement = watch_with(parts, source, screen)
    assert judgement.state == AUTHORIZED and judgement.track > 1
    assert all(view.trouble for picture, view in screen.shown if picture is None), "darkened without a reason"


def test_the_wait_for_a_lost_camera_has_an_end(camera_server, parts):
    def stop_the_stream(*_):
        camera_server.mode = "pause"

    with stream(camera_server) as source, pytest.raises(SourceError, match="--camera-timeout"):
        screen = Screen(stop_the_stream)
        watch_with(parts, source, screen, Ending(camera_timeout_s=1))


def test_a_dark_picture_is_told_and_judged_by_nobody(camera_server, parts):
    camera_server.mode = "dark"
    screen = Screen(lambda picture, view: "dark" in view.trouble)
    with stream(camera_server, QUICK) as source:
        judgement = watch_with(parts, source, screen)
    assert judgement.dark and judgement.state == CHECKING and not judgement.faces


def test_a_wish_to_stop_is_heard_without_a_window_or_a_face(camera_server, parts):
    stop = Stop()
    stop.gently()
    camera_server.mode = "dark"
    stop(15)
    with stream(camera_server) as source:
        watch_with(parts, source, None, stop=stop)


FRAME = np.zeros((90, 120, 3), np.uint8)
ROW = np.array([10, 10, 40, 40, *[0] * 11], np.float32)
OTHER = np.array([70, 10, 20, 20, *[0] * 11], np.float32)


def judged(state: str, reason: str = "", track: int = 1, in_view: bool = True, others: tuple = ()) -> Judgement:
    """What one picture came to, where that track is the most prominent."""
    face = Face(ROW, track, 1.0, state, True)
    return Judgement((face,) * in_view + others, False, state, track, 0.9, 1.0, reason)


def a_file(frames, judge):
    """A file of (time_s, frame), and what judges it: judge(time_s)."""
    source = SimpleNamespace(live=False, name="file")
    looking = ((number, time_s, frame, None) for number, (time_s, frame) in enumerate(frames))
    return source, looking, SimpleNamespace(judge=lambda time_s, *_: judge(time_s), evidence=list)


def test_another_track_that_is_refused_within_the_cool_down_is_reported_after_it(tmp_path):
    settings = replace(load_settings(None), incidents=IncidentsSettings(cooldown_s=0.4))
    alerts = Alerts(settings, tmp_path / "incidents", rehearsal=True, voice=False)

    def frames():
        for number in range(16):
            yield number / 20, FRAME
            time.sleep(0.05)

    judge = a_file(frames(), lambda time_s: judged(UNAUTHORIZED, REPLAY, 1 if time_s < 0.2 else 2))
    watch(*judge, alerts, None, None, Ending(), Stop())
    alerts.close()
    assert len(list((tmp_path / "incidents").glob("[0-9]*"))) == 2


def test_before_the_first_frame_a_wish_to_stop_breaks_off():
    with pytest.raises(KeyboardInterrupt):
        Stop()(15)


def test_a_prompt_overtakes_the_sentences_that_wait(monkeypatch):
    guard = Alerts(Settings(location=LocationSettings("")), rehearsal=True, voice=False)
    spoken = []
    monkeypatch.setattr(guard, "say", lambda text, overtake: spoken.append((text, overtake)))
    sentences = ["", SENTENCES[LEFT]]
    judge = a_file([(0.0, None), (0.03, None)], lambda _: Judgement(sentence=sentences.pop(0)))
    watch(*judge, guard, None, None, Ending(), Stop())
    guard.close(0)
    assert spoken == [(SENTENCES[LEFT], True)]


class Noting:
    """Consequences that are noted: (authorized, greet), or (reason, when). No cool-down."""

    ready, status, locked = True, "rehearsal", False

    def __init__(self):
        self.noted, self.now = [], 0.0

    def authorized(self, score, greet) -> None:
        self.noted.append((AUTHORIZED, greet))

    def unauthorized(self, snapshot, evidence, score, source, reason) -> None:
        self.noted.append((reason, self.now))
        self.snapshot = snapshot


@pytest.fixture
def told_of(monkeypatch):
    """told_of((seconds, judgement), ...): what became of a file of two pictures a second that came to these, one after
    the other, each for that many seconds. Returns the consequences, what was shown, and the outcome."""
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)  # a file is not played at its own pace

    def run(*story, noting=None):
        noting, shown = noting or Noting(), []
        judgements = [judgement for seconds, judgement in story for _ in range(round(2 * seconds))]

        def judge(time_s):
            noting.now = time_s
            return judgements[round(2 * time_s)]

        def show(picture, view, *_, mirror):
            shown.append(view)
            return True

        frames = ((number / 2, FRAME) for number in range(len(judgements)))
        screen = SimpleNamespace(show=show)
        outcome = watch(*a_file(frames, judge), noting, screen, None, Ending(), Stop())
        return noting.noted, shown, outcome

    return run


OWNER, STRANGE = judged(AUTHORIZED), judged(UNAUTHORIZED, STRANGER)
NOBODY = Judgement()


def test_a_stranger_has_consequences_each_time_that_the_verdict_changes(told_of, capsys, lines):
    noted, shown, _ = told_of((1, OWNER), (1, STRANGE), (1, OWNER), (1, STRANGE))
    assert noted == [(AUTHORIZED, True), (STRANGER, 1.0), (AUTHORIZED, False), (STRANGER, 3.0)]
    assert capsys.readouterr().out.splitlines()[1] == "file: unauthorized (a live stranger) after 1.00 s"
    assert "unauthorized (a live stranger) at 1.00 s of file" in lines
    assert [view.stranger for view in shown[::2]] == [False, True, False, True]
    assert shown[2].score is None


def test_each_track_that_is_refused_has_consequences_once_and_is_told_once(told_of, capsys, lines):
    """Also where nobody is seen in between."""
    first, second = judged(UNAUTHORIZED, REPLAY, 1), judged(UNAUTHORIZED, REPLAY, 2)
    third = judged(UNAUTHORIZED, REPLAY, 3)
    noted, *_ = told_of((2, first), (2, second), (1, NOBODY), (2, third))
    assert noted == [(REPLAY, 0.0), (REPLAY, 2.0), (REPLAY, 5.0)]
    told = [f"unauthorized after {at} s" for at in ("0.00", "2.00", "5.00")]
    assert capsys.readouterr().out == "".join(f"file: {line}\n" for line in told)
    assert len([line for line in lines if line.startswith("unauthorized at")]) == 3


def test_a_refused_face_that_stays_has_consequences_again_once_the_lock_had_its_time(told_of):
    noted, *_ = told_of((LOCKS_WITHIN_S + 2, judged(UNAUTHORIZED, REPLAY)))
    assert noted[:2] == [(REPLAY, 0.0), (REPLAY, LOCKS_WITHIN_S)]


def test_a_refused_face_that_stays_has_none_again_while_the_screen_is_locked(told_of):
    class Locked(Noting):
        @property
        def locked(self) -> bool:
            return self.now < 8

    noted, *_ = told_of((9, judged(UNAUTHORIZED, REPLAY)), noting=Locked())
    assert noted[:2] == [(REPLAY, 0.0), (REPLAY, 8.0)]
    again, *_ = told_of((1, judged(UNAUTHORIZED, REPLAY)), (1, judged(UNAUTHORIZED, REPLAY, 2)), noting=Locked())
    assert again == [(REPLAY, 0.0), (REPLAY, 1.0)], "another track is news"


def test_within_the_cool_down_who_takes_an_authorized_ones_place_is_locked_out_at_once_and_nobody_else(told_of):
    class CoolingDown(Noting):
        @property
        def ready(self) -> bool:
            return self.now < 1 or self.now >= 6

        def lock_again(self) -> None:
            self.noted.append(("lock", self.now))

    replay, another = judged(UNAUTHORIZED, REPLAY, 1), judged(UNAUTHORIZED, REPLAY, 2)
    noted, *_ = told_of((2, replay), (1, NOBODY), (4, another), noting=CoolingDown())
    assert noted == [(REPLAY, 0.0), (REPLAY, 6.0)]
    noted, *_ = told_of((2, replay), (1, OWNER), (4, another), noting=CoolingDown())
    assert noted == [(REPLAY, 0.0), (AUTHORIZED, True), ("lock", 3.0), (REPLAY, 6.0)]


def test_a_refused_face_that_stays_does_not_fill_the_disk_where_there_is_no_cool_down(tmp_path):
    settings = replace(load_settings(None), incidents=IncidentsSettings(cooldown_s=0))
    alerts = Alerts(settings, tmp_path / "incidents", rehearsal=True, voice=False)
    frames = ((number / 10, FRAME) for number in range(60))
    judge = a_file(frames, lambda _: judged(UNAUTHORIZED, REPLAY))
    watch(*judge, alerts, None, None, Ending(), Stop())
    alerts.close()
    assert len(list((tmp_path / "incidents").glob("[0-9]*"))) <= 4


def test_a_refusal_waits_for_a_picture_of_its_face_and_that_of_a_challenge_does_not(told_of):
    out_of_view = judged(UNAUTHORIZED, REPLAY, in_view=False)
    noted, *_ = told_of((1, out_of_view), (1, judged(UNAUTHORIZED, REPLAY)))
    assert noted == [(REPLAY, 1.0)]
    noted, *_ = told_of((1, judged(UNAUTHORIZED, CHALLENGE, track=0, in_view=False)))
    assert noted == [(CHALLENGE, 0.0)]


def test_who_comes_is_greeted_and_told_and_who_looks_up_is_not(told_of, capsys, lines):
    """Also where it is another track, and after somebody else was refused."""
    noted, *_ = told_of(
        (1, OWNER),
        (AWAY_S - 2, NOBODY),
        (1, judged(AUTHORIZED, track=2)),
        (1, judged(UNAUTHORIZED, REPLAY, 3)),
        (1, judged(AUTHORIZED, track=4)),
        (AWAY_S + 2, judged(CHECKING, track=5)),
        (1, judged(AUTHORIZED, track=5)),
    )
    assert [greet for what, greet in noted if what == AUTHORIZED] == [True, False, False, True]


def test_a_face_that_comes_back_is_told_after_a_minute(told_of, capsys, lines):
    told_of((1, OWNER), (AWAY_S - 2, NOBODY), (1, judged(AUTHORIZED, track=2)), (AWAY_S + 2, NOBODY), (1, OWNER))
    assert capsys.readouterr().out.count("file: authorized after ") == 2
    assert len([line for line in lines if line.startswith("authorized at ")]) == 2


@pytest.mark.parametrize(
    "reason, score, why",
    [
        (STRANGER, None, "not the owner"),
        (CHALLENGE, None, "failed the challenge"),
        (REPLAY, 0.9, "scored as a photo or replay"),
    ],
)
def test_window_and_snapshot_say_why(told_of, reason, score, why):
    noting = Noting()
    _, shown, _ = told_of((1, judged(UNAUTHORIZED, reason)), noting=noting)
    assert shown[0].banner == f"Unauthorized: {why}, rehearsal" and shown[0].score == score
    words = f"Unauthorized: {why}"
    view = View(np.array([[10, 10, 40, 40]]), UNAUTHORIZED, score, banner=words, stranger=reason == STRANGER)
    assert (noting.snapshot == annotate(FRAME, view)).all()


def test_faces_without_consequences_are_drawn_apart(told_of):
    poster = Face(OTHER, 2, 0.1, "picture", False)
    _, shown, _ = told_of((1, judged(AUTHORIZED, others=(poster,))))
    assert shown[0].boxes.tolist() == [[10, 10, 40, 40]] and shown[0].others.tolist() == [[70, 10, 20, 20]]


def test_why_there_was_no_verdict(told_of):
    def why(*story) -> str:
        return told_of(*story)[2].why_undecided

    checking = judged(CHECKING)
    assert why((1, checking), (1, judged(CHECKING, UNKNOWN)), (1, NOBODY)) == f"the face was {UNKNOWN}"
    assert "not seen for long enough" in why((1, checking))
    assert why((1, checking), (1, judged(CHECKING, f"{TOO_SLOW}: 0.9 pictures a second"))).startswith(TOO_SLOW)
    assert why((1, NOBODY)) == "no face was seen"
    assert why((1, checking), (1, OWNER), (1, NOBODY)) == ""


def test_the_only_face_in_view_is_a_picture_in_the_room(told_of):
    """It was a face like any other until it was set aside."""
    aside = Judgement((Face(ROW, 1, 0.1, "picture", False),), reason=PICTURE)
    *_, outcome = told_of((3, judged(CHECKING)), (1, aside), (1, NOBODY))
    assert outcome.why_undecided == PICTURE


# --- Nobody in sight ---

guard = pytest.fixture(quiet_guard)


def nobody(seconds: float):
    """A file in which nobody is seen, and what judges it."""
    return a_file(((number / 10, FRAME) for number in range(round(10 * seconds))), lambda _: NOBODY)


def test_the_lock_is_announced_and_comes_when_the_camera_shows_nobody(camera_server, parts, guard, tmp_path):
    camera_server.mode = "dark"
    parts.alerts = guard
    screen = Screen(
        lambda picture, view: view.trouble.startswith("Nobody in sight: locking in 2 s"),
        lambda picture, view: view.trouble.startswith("Nobody in sight: locking in 1 s"),
        lambda picture, view: (tmp_path / "locked").exists(),
        lambda picture, view: view.trouble.startswith("Nobody in sight: lock requested; stream: too dark to see"),
    )
    with stream(camera_server) as source:
        watch_with(parts, source, screen, absence=Absence(2))
    assert not (tmp_path / "incidents").exists()


def test_somebody_in_sight_is_not_locked_out(parts, sample, detector, guard, tmp_path):
    parts.alerts = guard
    with open_source(str(sample.real)) as source:
        assert source.length / source.fps > 3
        watch_with(parts, source, None, absence=Absence(1))
    assert guard.away_status == ""


def test_a_refused_face_keeps_nothing_open(parts, sample, guard):
    parts.alerts = guard
    with open_source(str(sample.fake)) as source:
        watch_with(parts, source, None, absence=Absence(1))
    wait_for(lambda: guard.away_status == "lock requested")


def test_without_a_window_the_announcement_is_spoken_once(guard, monkeypatch, capsys, lines):
    spoken, shown = [], []
    monkeypatch.setattr(guard, "say", lambda text, overtake: spoken.append((text, overtake)))
    source, frames, judge = nobody(20)
    watch(source, frames, judge, guard, None, None, Ending(), Stop(), Absence(15))
    assert spoken == [("Nobody in sight. Locking in 3 seconds.", True)]
    assert re.fullmatch("file: nobody in sight after 15.00 s: (locking|lock requested)\n", capsys.readouterr().out)
    assert [line for line in lines if line.startswith("nobody in sight at")] == [
        "nobody in sight at 12.00 s of file: announced",
        "nobody in sight at 15.00 s of file",
    ]
    window = SimpleNamespace(show=lambda picture, view, wait_s, mirror: shown.append(view.trouble) or True)
    source, frames, judge = nobody(14)
    spoken.clear()
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    watch(source, frames, judge, guard, window, None, Ending(), Stop(), Absence(15))
    assert spoken == [] and "Nobody in sight: locking in 3 s" in shown


@pytest.mark.parametrize("what", ["show", "say"])
def test_what_breaks_while_it_is_announced_does_not_keep_the_lock_from_coming(guard, monkeypatch, tmp_path, what):
    def broken(*_, **__):
        raise ValueError("broken")

    window = SimpleNamespace(show=lambda picture, view, *_, **__: broken() if view.trouble else True)
    if what == "say":
        window = None
        monkeypatch.setattr(guard, "say", broken)
    source, frames, judge = nobody(20)
    with pytest.raises(ValueError, match="broken"):
        watch(source, frames, judge, guard, window, None, Ending(), Stop(), Absence(15))
    guard.close()
    assert (tmp_path / "locked").exists()


def test_what_breaks_before_it_is_announced_locks_nothing(guard, tmp_path):
    window = SimpleNamespace(show=lambda *_, **__: 1 / 0)
    source, frames, judge = nobody(20)
    with pytest.raises(ZeroDivisionError):
        watch(source, frames, judge, guard, window, None, Ending(), Stop(), Absence(15))
    guard.close()
    assert not (tmp_path / "locked").exists()


def test_an_end_that_is_wished_for_locks_nothing(guard, tmp_path):
    window = SimpleNamespace(show=lambda picture, view, *_, **__: not view.trouble)
    source, frames, judge = nobody(20)
    watch(source, frames, judge, guard, window, None, Ending(), Stop(), Absence(15))
    guard.close()
    assert not (tmp_path / "locked").exists()
