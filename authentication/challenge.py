"""Challenge the face: random head turns that neither a photo nor a recording can follow.

    challenge = Challenge(turns=2)
    state = challenge.update(time_s, passive, Followed(track.number, face))     # every picture
    challenge.prompt                                            # what to show now
    challenge.sentence                                          # what to say now, "" for nothing new

After the passive evidence says live, the user is asked for so many turns of the head, each from a frontal
pose back to a frontal pose. `update` returns the authenticator's state: checking until all were made, then
authorized; unauthorized as soon as the passive verdict is, or after two failed rounds. There is no clock, no
camera and no OpenCV in here: time, faces and the passive state come in, prompts and a state go out.

A round fails at the wrong turn, at a turn before it was asked for, at a second face that is as large or nearly so, when
another face takes the place of the one that is asked (its track ends), at a loss of the face, or when the passive
verdict turns to unauthorized. Failed rounds are remembered for ten minutes, even if the face goes away. A turn that
does not come in time costs nothing but time: the next round comes later, and has one turn more, so that waiting for a
sequence that suits a recording does not pay. The same holds where the camera gave no picture for a moment, which a hand
before the lens brings about; where the program did not run, the round begins anew at no cost.

What chance has a replay? A photo cannot turn (see TURNED). A recording of turns has to show the right
ones at the right moments. Give it the moments for nothing; then it has 2**-N a round, the order being drawn
anew each time:

    N    a round    within 2 rounds,       until it passes, on average    rounds until
                    before an incident     rounds       incidents         it is even odds
    1    50 %       75 %                   2            0.3               1
    2    25 %       44 %                   4            1.3               3
    3    12.5 %     23 %                   8            3.3               6

One that stands still at each prompt that does not suit it, and so fails at none, is asked for N, N + 1, ...
N + 4 turns: within these five rounds it has passed with 70, 41 or 22 % for N = 1, 2, 3; after that, with
1/32, 1/64 or 1/128 a minute. A recording that runs on at its own pace passed with 46, 23 and 10 % before an
incident (simulated). Somebody who plays the right clip at each prompt passes: a challenge proves that what is
before the camera can answer, not that it is flesh.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from authentication.prompts import AHEAD, BACK, LEFT, PASSED, PAUSE, RIGHT, SENTENCES, TEXTS, Prompt
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED
from face_detector import yaw

WAITING, READY, TURNING, BARRED = "waiting", "ready", "turning", "barred"
ROUND = (READY, TURNING, BACK)  # phases in which a round can fail

# Measured with this detector: photos of three people, 1200 of them moved, tilted by 25 to 65 degrees about any axis,
# bent or not, near or far, and 2084 held still on a grid of such poses; live faces of three people, of whom one turns
# his head far, and to one side only (its mirror image measures alike).
# As face_detector.yaw measures it. Who looks at the screen: within 0.1; talking, looking about a little: 0.2.
FRONTAL = 0.2
# A live head that turns: 0.6 to 1.3; it passes this value when its eyes are still on the screen. Photos:
# below 0.15 most of the time, 0.29 at 45 degrees, 0.52 for a moment at 55 and more, where the detector begins
# to see things; 0.40 at most when moved, held for TURN_HOLD_S and looking like a head by the next two. On the
# grid, 2 bent photos at 55 degrees and more pass all three; no flat one does.
TURNED = 0.45
# The face's box, width by height, against the same frontal face's: a head is as deep as it is wide, so its
# box stays at 0.89 to 0.99 while it turns; a photo's goes with the cosine of the tilt: 0.71 at 45 degrees,
# 0.57 at 55.
NARROWEST = 0.8
# The detector's confidence against the same frontal face's: 0.98 and more for a live head that turns; most
# squeezed photos that look turned to it have 0.6 to 0.9.
LEAST_SURE = 0.9

# Held for so long, so that neither a glitch of one frame counts nor half a movement.
AHEAD_S, TURN_HOLD_S, BACK_HOLD_S = 0.5, 0.15, 0.2
# Nobody has heard or seen a prompt and turned by 40 degrees sooner: reaction takes 0.2 s, the movement as
# much.
REACTION_S = 0.3
# Between a frontal pose and the prompt, drawn anew each time: a recording cannot know when to turn.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.3, 1.2

# A refusal lasts until no face has been in view for this many seconds.
GONE_S = 1.0
# A second face for longer than the glitch that changes no verdict.
CROWD_S = 0.1

ROUNDS = 2  # so many failed ones are an unauthorized
FORGET_S = 600.0  # after which failed rounds and unanswered prompts are forgotten
RETRY_S = 2.0  # before the next round, to read and hear why; doubled by each prompt not answered
LONGEST_RETRY_S = 60.0  # somebody who works at the computer must not be asked on and on
MOST_EXTRA_TURNS = 4
PASSED_SHOWN_S = 2.0
CROWD, LOST, SWAPPED = "One face only, please", "Stay in view", "Stay in view, without a jump"
NO_PICTURE = "No picture for a moment: once more"
EARLY, WRONG, NO_ANSWER = "Wait for the prompt", "That was the wrong way", "No turn was seen"


def draw_turns(count: int) -> list[str]:
    """So many turns, each left or right by the toss of a coin that nobody can foresee."""
    import secrets

    return [secrets.choice((LEFT, RIGHT)) for _ in range(count)]


def draw_pause() -> float:
    """Seconds between a frontal pose and the prompt."""
    import secrets

    return SHORTEST_PAUSE_S + (LONGEST_PAUSE_S - SHORTEST_PAUSE_S) * secrets.randbelow(1000) / 999


class Followed(NamedTuple):
    """The face that is asked, in one picture.

    track: its number; 0 while no face is in view. face: float (15,), its row of FaceDetector.detect, of a picture that
    is not mirrored; None while it cannot be seen. crowd: another face is in view that is not much smaller. picture:
    False where the camera gave none. paused: this picture came after a gap in which there was none.
    """

    track: int
    face: np.ndarray | None
    crowd: bool = False
    picture: bool = True
    paused: bool = False


class Challenge:
    """Asks for turns of the head, and tells from the faces that are seen whether they were made.

    turns: how many, 1 or more. limit_s: seconds for a turn, and again for the way back.
    draw_turns, draw_pause: as the functions of that name; tests know beforehand what they draw.
    state: CHECKING, AUTHORIZED or UNAUTHORIZED. sentence: to be spoken now, "" for nothing new.
    prompt: what to show now, None for nothing.
    """

    def __init__(
        self,
        turns: int,
        limit_s: float = 4.0,
        draw_turns: Callable[[int], list[str]] = draw_turns,
        draw_pause: Callable[[], float] = draw_pause,
    ):
        self._turns, self._limit_s = turns, limit_s
        self._draw_turns, self._draw_pause = draw_turns, draw_pause
        self._failed: list[float] = []  # when rounds failed
        self._unanswered: list[float] = []  # when prompts ran out of time
        self._track = 0  # that is asked
        self._now = 0.0
        self._silent = False  # the camera has given no picture since the last one
        self._gone, self._crowd, self._ahead, self._answer = _Span(), _Span(), _Span(), _Span()
        self._turned = {LEFT: _Span(), RIGHT: _Span()}
        self._usual, self._usual_frames = np.zeros(2), 0  # aspect and confidence of the frontal face
        self._order: list[str] = []  # the turns of this round
        self._done = 0  # so many of them were made
        self._reason = ""  # why there is another round
        self._phase, self._since, self._until = WAITING, 0.0, 0.0
        self._asked = False
        self.sentence, self.state = "", CHECKING

    def update(self, time_s: float, passive: str, followed: Followed) -> str:
        """Take in a picture and return the state.

        time_s: when it was taken, in seconds, never falling. passive: the state of the face without a challenge.
        """
        self._now, self.sentence, self._asked = time_s, "", passive == AUTHORIZED
        self._failed = [then for then in self._failed if time_s - then < FORGET_S]
        self._unanswered = [then for then in self._unanswered if time_s - then < FORGET_S]
        if not followed.picture:
            self._silent = True
        else:
            if followed.paused:
                self._resume()
            self._silent = False
            self._take_in(passive, followed)
        own = {PASSED: AUTHORIZED, BARRED: UNAUTHORIZED}.get(self._phase, CHECKING)
        self.state = passive if passive != AUTHORIZED and own != UNAUTHORIZED else own
        return self.state

    def _take_in(self, passive: str, followed: Followed) -> None:
        gone_s = self._gone.lasts(self._now, not followed.track)
        if self._phase == BARRED:
            if gone_s >= GONE_S:
                self._wait()
        elif passive != AUTHORIZED:
            self._lose(SWAPPED if self._track and followed.track and self._track != followed.track else LOST)
        else:
            face = self._follow(followed)
            if face is not None:
                self._step(face)

    @property
    def prompt(self) -> Prompt | None:
        """What to show now; None where there is nothing to ask for."""
        if not self._asked or self._phase == BARRED:
            return None
        left = min(1.0, max(0.0, (self._until - self._now) / (self._until - self._since or 1.0)))
        if self._phase == PASSED:
            return self._prompt(PASSED) if left else None
        if self._phase == TURNING:
            return self._prompt(self._order[self._done], left=left)
        if self._phase == BACK:
            return self._prompt(BACK, left=left)
        if self._phase == WAITING and self._now < self._until:
            return self._prompt(PAUSE, self._reason, left)
        return self._prompt(AHEAD, CROWD if self._crowd.since is not None else None)

    def _prompt(self, kind: str, text: str | None = None, left: float | None = None) -> Prompt:
        return Prompt(kind, text or TEXTS[kind], left, self._done, len(self._order) or self._next_length())

    # --- one and the same face ---

    def _follow(self, followed: Followed) -> np.ndarray | None:
        """The face that is asked; None where it cannot be seen."""
        if self._track and self._track != followed.track:
            self._lose(SWAPPED)
        self._track = followed.track
        if followed.face is None:
            self._break_spans()
            return None
        if self._crowd.lasts(self._now, followed.crowd) > CROWD_S and self._phase in ROUND:
            self._fail(CROWD)
            self._break_spans()
        return followed.face if self._phase != BARRED else None

    def _lose(self, reason: str) -> None:
        """It is no longer sure to be the same live face: a round fails, a pass is over, all begins anew."""
        self._track = 0
        if self._phase in ROUND:
            self._fail(reason)
        elif self._phase == PASSED:
            self._wait()
        self._break_spans()

    def _resume(self) -> None:
        """There was no picture for a while, which is nobody's failure: another round, with another order."""
        self._track = 0
        if self._phase in ROUND:
            if self._silent:
                self._unanswered.append(self._now)
            self._wait(self._retry_s() if self._silent else RETRY_S, NO_PICTURE)
        elif self._phase == PASSED:
            self._wait()
        self._break_spans()

    def _break_spans(self) -> None:
        for span in (self._ahead, self._answer, *self._turned.values()):
            span.since = None

    # --- the steps of a round ---

    def _step(self, face: np.ndarray) -> None:
        """Take in the face of this frame."""
        turn = yaw(face)
        ahead_s = self._ahead.lasts(self._now, abs(turn) <= FRONTAL)
        turned = None
        for side, amount in ((LEFT, turn), (RIGHT, -turn)):
            if self._turned[side].lasts(self._now, amount >= TURNED) >= TURN_HOLD_S:
                turned = side
        look = np.array([face[2] / max(face[3], 1.0), face[14]])
        if self._phase in (WAITING, READY) and self._ahead.since is not None:
            self._learn(look)
        if self._phase == WAITING:
            if self._now >= self._until and ahead_s >= AHEAD_S and self._crowd.since is None:
                self._order, self._done = self._draw_turns(self._next_length()), 0
                self._enter(READY, self._draw_pause())
        elif self._phase == READY:
            self._await_moment(turned)
        elif self._phase == TURNING:
            self._await_turn(turned, look)
        elif self._phase == BACK:
            self._await_return(turned, ahead_s)

    def _learn(self, look: np.ndarray) -> None:
        """What the frontal face looks like: its mean over this frontal pose."""
        if self._ahead.since == self._now:
            self._usual_frames = 0
        self._usual_frames += 1
        self._usual = self._usual + (look - self._usual) / self._usual_frames

    def _await_moment(self, turned: str | None) -> None:
        if turned:
            self._fail(EARLY)
        elif self._now >= self._until and self._ahead.since is not None:
            self._answer.since = None
            self._enter(TURNING, self._limit_s)
            self.sentence = SENTENCES[self._order[self._done]]
        elif self._now >= self._until + self._limit_s:
            self._run_out()

    def _await_turn(self, turned: str | None, look: np.ndarray) -> None:
        side = self._order[self._done]
        began = self._turned[side].since
        # The wrong turn is one whatever it looks like; the right one has to look like a head's.
        like_a_head = (look >= self._usual * (NARROWEST, LEAST_SURE)).all()
        answer_s = self._answer.lasts(self._now, began is not None and like_a_head)
        if turned and turned != side:
            self._fail(WRONG)
        elif turned and began - self._since < REACTION_S:
            self._fail(EARLY)
        elif answer_s >= TURN_HOLD_S:
            self._enter(BACK, self._limit_s)
            self.sentence = SENTENCES[BACK]
        elif self._now >= self._until:
            self._run_out()

    def _await_return(self, turned: str | None, ahead_s: float) -> None:
        if turned and turned != self._order[self._done]:
            self._fail(WRONG)
        elif ahead_s >= BACK_HOLD_S:
            self._done += 1
            if self._done == len(self._order):
                self._failed, self._unanswered = [], []
                self._enter(PASSED, PASSED_SHOWN_S)
            else:
                self._enter(READY, self._draw_pause())
        elif self._now >= self._until:
            self._run_out()

    def _fail(self, reason: str) -> None:
        self._failed.append(self._now)
        if len(self._failed) < ROUNDS:
            self._wait(RETRY_S, reason)
        else:
            self._failed = []
            self._enter(BARRED, 0)

    def _run_out(self) -> None:
        self._unanswered.append(self._now)
        self._wait(self._retry_s(), NO_ANSWER)

    def _retry_s(self) -> float:
        return min(RETRY_S * 2 ** (len(self._unanswered) - 1), LONGEST_RETRY_S)

    def _wait(self, pause_s: float = 0.0, reason: str = "") -> None:
        """Ask for nothing yet."""
        self._order, self._done, self._reason, self.sentence = [], 0, reason, reason
        self._enter(WAITING, pause_s)

    def _enter(self, phase: str, lasts_s: float) -> None:
        self._phase, self._since, self._until = phase, self._now, self._now + lasts_s

    def _next_length(self) -> int:
        return self._turns + min(len(self._unanswered), MOST_EXTRA_TURNS)


class _Span:
    """For how long something has been true without a break."""

    def __init__(self):
        self.since: float | None = None

    def lasts(self, now: float, true: bool) -> float:
        """Seconds; -1 where it is not true."""
        if not true:
            self.since = None
            return -1.0
        if self.since is None:
            self.since = now
        return now - self.since
