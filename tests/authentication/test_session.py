"""The frame loop on a real stream that misbehaves; what is shown is noted where the window would show it."""

import re
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from alerts_parts import quiet_guard
from camera_parts import QUICK, SOON, stream

import livenessnet
from alerts import Alerts, IncidentsSettings, LocationSettings, Settings, load_settings
from authentication.absence import Absence
from authentication.authenticator import Authenticator, Look, look_for_faces
from authentication.drawing import annotate
from authentication.interruption import Stop
from authentication.prompts import LEFT, SENTENCES
from authentication.scoring import Scorer
from authentication.session import Ending, watch
from authentication.verdict import AUTHORIZED, CHALLENGE, CHECKING, REPLAY, STRANGER, UNAUTHORIZED, UNKNOWN, Verdict
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
    return watch(source, found, parts.authenticator, parts.alerts, screen, None, ending, stop or Stop(), absence).look


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


def test_a_stream_that_freezes_ends_the_visit_and_the_next_picture_begins_another(camera_server, parts):
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
        look = watch_with(parts, source, screen)
    assert look.visit == (2, 0, 0)
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
        look = watch_with(parts, source, screen)
    assert look.state == CHECKING and not look.scores


def test_a_wish_to_stop_is_heard_without_a_window_or_a_face(camera_server, parts):
    stop = Stop()
    stop.gently()
    camera_server.mode = "dark"
    stop(15)
    with stream(camera_server) as source:
        watch_with(parts, source, None, stop=stop)


def test_a_visit_that_begins_within_the_cool_down_is_reported_after_it(tmp_path):
    settings = replace(load_settings(None), incidents=IncidentsSettings(cooldown_s=0.4))
    alerts = Alerts(settings, tmp_path / "incidents", rehearsal=True, voice=False)
    face, frame = np.array([[10, 10, 40, 40, *[0] * 11]], np.float32), np.zeros((90, 120, 3), np.uint8)

    def frames():
        for number in range(16):
            yield number, number / 20, frame
            time.sleep(0.05)

    def judge(time_s, frame, found):
        return Look(face, [0.1], False, UNAUTHORIZED, 0.1, 1.0, (1 if time_s < 0.2 else 2, 0, 0), REPLAY, None, "")

    source = SimpleNamespace(live=False, name="file")
    looking = ((*item, None) for item in frames())
    judging = SimpleNamespace(judge=judge, evidence=list)
    watch(source, looking, judging, alerts, None, None, Ending(), Stop())
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
    source = SimpleNamespace(live=False, name="file")
    looking = (item for item in [(0, 0.0, None, None), (1, 0.03, None, None)])
    judge = SimpleNamespace(
        judge=lambda time_s, frame, found: Look(
            np.empty((0, 15)), [], False, CHECKING, 0.0, 0.0, (0, 0, 0), "", None, sentences.pop(0)
        )
    )
    watch(source, looking, judge, guard, None, None, Ending(), Stop())
    guard.close(0)
    assert spoken == [(SENTENCES[LEFT], True)]


class Noting:
    """Consequences that are noted; no banner, no cool-down."""

    ready, status = True, "rehearsal"

    def __init__(self):
        self.noted = []

    def authorized(self, score) -> None:
        self.noted.append(AUTHORIZED)

    def unauthorized(self, snapshot, evidence, score, source, reason) -> None:
        self.noted.append(reason)
        self.snapshot = snapshot


def told_of(*looks: tuple[str, str, int]):
    """What became of a file whose frames came to (state, reason, visit of the identity)."""
    face, frame = np.array([[10, 10, 40, 40, *[0] * 11]], np.float32), np.zeros((90, 120, 3), np.uint8)
    shown = []

    def judge(time_s, frame, found):
        state, reason, visit = looks[round(time_s)]
        return Look(face, [0.9], False, state, 0.9, 1.0, (1, visit, 0), reason, None, "")

    def show(picture, view, *_, mirror):
        shown.append(view)
        return True

    source, noting = SimpleNamespace(live=False, name="file"), Noting()
    looking = ((number, float(number), frame, None) for number in range(len(looks)))
    judging, screen = SimpleNamespace(judge=judge, evidence=list), SimpleNamespace(show=show)
    outcome = watch(source, looking, judging, noting, screen, None, Ending(), Stop())
    return noting, shown, outcome


def test_a_stranger_has_consequences_each_time_that_he_is_news(capsys, lines, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)  # a file is not played at its own pace
    owner, stranger = (AUTHORIZED, ""), (UNAUTHORIZED, STRANGER)
    noting, shown, _ = told_of((*owner, 0), (*stranger, 0), (*stranger, 0), (*owner, 1), (*stranger, 1))
    assert noting.noted == [AUTHORIZED, STRANGER, AUTHORIZED, STRANGER]
    assert capsys.readouterr().out.splitlines()[1] == "file: unauthorized (a live stranger) after 1.00 s"
    assert "unauthorized (a live stranger) at 1.00 s of file" in lines
    assert [view.stranger for view in shown] == [False, True, True, False, True]
    assert shown[1].banner == "Unauthorized: not the owner, rehearsal" and shown[1].score is None


@pytest.mark.parametrize(
    "reason, score, words",
    [
        (STRANGER, None, "Unauthorized: not the owner"),
        (CHALLENGE, None, "Unauthorized: failed the challenge"),
        (REPLAY, 0.9, ""),
    ],
)
def test_the_snapshot_says_why(reason, score, words):
    noting, *_ = told_of((UNAUTHORIZED, reason, 0))
    view = View(np.array([[10, 10, 40, 40]]), UNAUTHORIZED, score, banner=words, stranger=reason == STRANGER)
    assert (noting.snapshot == annotate(np.zeros((90, 120, 3), np.uint8), view)).all()


def test_a_face_that_nobody_knew_is_why_there_was_no_verdict():
    *_, outcome = told_of((CHECKING, "", 0), (CHECKING, UNKNOWN, 0), (CHECKING, "", 0))
    assert outcome.why_undecided == "the face was not seen clearly enough to tell whose it is"
    *_, outcome = told_of((CHECKING, "", 0))
    assert "not seen for long enough" in outcome.why_undecided


# --- Nobody in sight ---

guard = pytest.fixture(quiet_guard)


def nobody(seconds: float):
    """A file in which nobody is seen, and what judges it."""
    empty = np.zeros((90, 120, 3), np.uint8)
    look = Look(np.empty((0, 15), np.float32), [], False, CHECKING, 0.0, 0.0, (0, 0, 0), "", None, "")
    frames = ((number, number / 10, empty, None) for number in range(round(10 * seconds)))
    return SimpleNamespace(live=False, name="file"), frames, SimpleNamespace(judge=lambda *_: look, evidence=list)


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
        watch_with(parts, source, None, absence=Absence(0.5))
    assert guard.away_status == ""


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
