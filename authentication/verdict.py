"""From the scores of single frames to a verdict: Wald's sequential probability ratio test, in time.

    verdict = Verdict(false_pass=0.001, false_lock=0.001)
    state = verdict.update(time_s, p_real)     # p_real of the most suspicious face; None: no face

One frame decides nothing. Each adds its log-likelihood ratio, live against replayed, to the evidence, and a
verdict falls when the evidence makes either error less likely than its bound. Frames are not independent
(neighbours are near copies, and share the light, the focus and the network's mistakes), so what one may say is
capped, and counts for the time that it stands for, not as a frame: 10 and 60 frames/s decide alike.

How long clear evidence takes is fixed, whatever the bounds: half a second or so for the first verdict, 0.9 s to
overturn one; a glitch of 0.1 s suffices for neither. The bounds say how clear "clear" is: the cap follows from
them. So stricter bounds do not slow down a clear face, but a doubtful one.

What the bounds are worth: they hold for a first verdict on looks LOOKS_PER_S apart whose errors are independent,
and for scores whose logit is the log-likelihood ratio. A network that errs does so for a second at a time, and no
rule that must follow a second of clear evidence can see through a second of clear error. Read them as a dial,
then; benchmarks/verdict_rates.py measures what its settings give, in false locks and passes an hour.

Source: A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16, 1945.
"""

import math

CHECKING, AUTHORIZED, UNAUTHORIZED = "checking", "authorized", "unauthorized"
# Why a face is not authorized. One that fails the challenge may well score as live, and a stranger does.
REPLAY, CHALLENGE, STRANGER = "scored as a photo or replay", "failed the challenge", "a live stranger"
# Why a live face is not authorized yet.
UNKNOWN = "not seen clearly enough to tell whose it is"

# Both bounds must lie within these. One of 1e-6 beside one of 0.01 leaves a quarter of OVERTURN_S to the quicker
# verdict, which is just above what a glitch can bring.
STRICTEST, LOOSEST = 1e-6, 0.01
# How many independent looks a second of video is worth. What lasts for a tenth of a second is one glitch, and one
# look; measured correlation times of the scores on our recordings are 0.07 to 2 s, so it is rather fewer.
LOOKS_PER_S = 10.0
# Clear evidence takes so long to overturn a verdict. At 10 frames/s one more frame may pass: 1 s in all.
OVERTURN_S = 0.9
# A frame speaks for no longer than this: after a pause nobody knows what was there in between. So a glitch of 0.1 s
# brings 0.2 s of evidence at most (its first frame stands for the time before it).
LONGEST_FRAME_S = 0.1
# Without a face for so long, the visit is over, and the next face starts from nothing.
VISIT_GAP_S = 1.0
# How fast the displayed score follows the frames' scores.
SCORE_TIME_S = 0.3
# Nearer to 0 or 1 the logarithm would not be finite.
SURE = 1e-9


class Verdict:
    """Evidence about the face before the camera, from its appearance until it is gone.

    false_pass, false_lock: bounds, STRICTEST to LOOSEST, on the chance that a replay is authorized or a live face
        is not, as far as looks are independent. Raises ValueError outside.
    state: CHECKING, AUTHORIZED or UNAUTHORIZED. score: p_real averaged over the last moments, 0 to 1.
    clear: p_real from which on, or 1 less it from which down, steady evidence decides as fast as it can; nearer to
        0.5 it takes longer in proportion to the logit. 0.82 with the default bounds, 0.73 to 0.95 with others.
    confidence: share of the evidence that a verdict needs, -1 (unauthorized) to 1 (authorized).
    visit: counts the visits, from 1; 0 before the first face.
    """

    def __init__(self, false_pass: float = 0.001, false_lock: float = 0.001):
        for rate in (false_pass, false_lock):
            if not STRICTEST <= rate <= LOOSEST:
                raise ValueError(f"an error rate of {rate}; it must be from {STRICTEST} to {LOOSEST}")
        self._pass_at = math.log((1 - false_lock) / false_pass)
        self._lock_at = math.log(false_lock / (1 - false_pass))
        # The most that one look may say, as a log-likelihood ratio.
        self._cap = (self._pass_at - self._lock_at) / (LOOKS_PER_S * OVERTURN_S)
        self.clear = 1 / (1 + math.exp(-self._cap))
        self.visit = 0
        self._forget()

    def update(self, time_s: float, p_real: float | None) -> str:
        """Take in a frame and return the state.

        time_s: when it was taken, in seconds; a clock that runs backwards starts a new visit. p_real: 0 to 1, the
        lowest of its faces, since any face judged fake outweighs a live one beside it; None where there is no face.
        What is not a number speaks for nobody, and counts as 0.
        """
        if self._last_s is not None and not 0 <= time_s - self._last_s < VISIT_GAP_S:
            self._forget()
        if p_real is None:
            return self.state
        if self._last_s is None:
            # The first frame of a visit only starts the clock.
            self.visit, lasted = self.visit + 1, 0.0
        else:
            lasted = min(time_s - self._last_s, LONGEST_FRAME_S)
        self._last_s = time_s
        p_real = max(SURE, min(p_real, 1 - SURE))  # in this order NaN becomes the lowest
        ratio = math.log(p_real / (1 - p_real))
        self._evidence += max(-self._cap, min(self._cap, ratio)) * LOOKS_PER_S * lasted
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
