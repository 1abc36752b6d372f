"""From the scores of single frames to a verdict: Wald's sequential probability ratio test, in time.

    verdict = Verdict()
    state = verdict.update(time_s, p_real)     # p_real of the most suspicious face; None: no face

One frame decides nothing. Each adds its log-likelihood ratio, live against replayed, to the evidence, and a
verdict falls when the evidence makes either error less likely than its bound. Frames are not independent
(neighbours are near copies, and share the light, the focus and the network's mistakes), so what one may say is
capped, and counts for the time that it stands for, not as a frame: 10 and 60 frames/s decide alike.

Source: A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16, 1945.
"""

import math

CHECKING, AUTHORIZED, UNAUTHORIZED = "checking", "authorized", "unauthorized"

# How many independent looks a second of video is worth. With the cap below, clear and steady evidence decides
# after 0.46 s and overturns the opposite verdict after 0.92 s.
LOOKS_PER_S = 15.0
# The most that one look may say, as a log-likelihood ratio. A glitch of 0.1 s moves the evidence by 1.5 of the
# 6.9 that a verdict needs.
LOOK_CAP = 1.0
# A frame speaks for no longer than this: after a pause nobody knows what was there in between.
LONGEST_FRAME_S = 0.1
# Without a face for so long, the visit is over, and the next face starts from nothing.
VISIT_GAP_S = 1.0
# How fast the displayed score follows the frames' scores.
SCORE_TIME_S = 0.3


class Verdict:
    """Evidence about the face before the camera, from its appearance until it is gone.

    false_pass, false_lock: bounds, 0 to 1, on the chance that a replay is authorized or a live face is not,
    as far as looks are independent.
    state: CHECKING, AUTHORIZED or UNAUTHORIZED. score: p_real averaged over the last moments, 0 to 1.
    confidence: share of the evidence that a verdict needs, -1 (unauthorized) to 1 (authorized).
    visit: counts the visits, from 1; 0 before the first face.
    """

    def __init__(self, false_pass: float = 0.001, false_lock: float = 0.001):
        self._pass_at = math.log((1 - false_lock) / false_pass)
        self._lock_at = math.log(false_lock / (1 - false_pass))
        self.visit = 0
        self._forget()

    def update(self, time_s: float, p_real: float | None) -> str:
        """Take in a frame and return the state.

        time_s: when it was taken, in seconds, never falling. p_real: 0 to 1, the lowest of its faces, since any
        face judged fake outweighs a live one beside it; None where there is no face.
        """
        if self._last_s is not None and time_s - self._last_s >= VISIT_GAP_S:
            self._forget()
        if p_real is None:
            return self.state
        if self._last_s is None:
            # The first frame of a visit only starts the clock.
            self.visit, self._last_s = self.visit + 1, time_s
        lasted = min(time_s - self._last_s, LONGEST_FRAME_S)
        self._last_s = time_s
        ratio = math.log(max(p_real, 1e-9) / max(1 - p_real, 1e-9))
        self._evidence += max(-LOOK_CAP, min(LOOK_CAP, ratio)) * LOOKS_PER_S * lasted
        # No more than a verdict needs: an hour of live face must not outweigh the replay that follows it.
        self._evidence = max(self._lock_at, min(self._pass_at, self._evidence))
        if self._evidence >= self._pass_at:
            self.state = AUTHORIZED
        elif self._evidence <= self._lock_at:
            self.state = UNAUTHORIZED
        weight = 1 - math.exp(-lasted / SCORE_TIME_S)
        self.score = p_real if self.score is None else self.score + weight * (p_real - self.score)
        return self.state

    @property
    def confidence(self) -> float:
        return self._evidence / (self._pass_at if self._evidence > 0 else -self._lock_at)

    def _forget(self) -> None:
        self.state, self.score = CHECKING, None
        self._evidence, self._last_s = 0.0, None
