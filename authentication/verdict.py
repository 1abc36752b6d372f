"""From the scores of single pictures to a verdict about one face: Wald's sequential probability ratio test, in time.

    verdict = Verdict(false_pass=0.001, false_lock=0.001)
    state = verdict.update(lasted_s, log_odds)

One picture decides nothing. Each adds its log-likelihood ratio, live against replayed, to the evidence, and a
verdict falls when the evidence makes either error less likely than its bound. Pictures are not independent
(neighbours are near copies, and share the light, the focus and the network's mistakes), so what one may add is
capped, and counts for the time that it stands for, not as a picture: 10 and 60 pictures a second decide alike.

How long clear evidence takes is fixed, whatever the bounds: half a second or so for the first verdict, 0.9 s to
overturn one; a glitch of 0.1 s suffices for neither. The bounds say how clear "clear" is: the cap follows from
them. So stricter bounds do not slow down a clear face, but a doubtful one.

What the bounds are worth: they hold for a first verdict on looks LOOKS_PER_S apart whose errors are independent,
and for log odds that are the log-likelihood ratio. A network that errs does so for a second at a time, and no
rule that must follow a second of clear evidence can see through a second of clear error. Read them as a dial,
then; benchmarks/verdict_rates.py measures what its settings give, in false locks and passes an hour.

Source: A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16, 1945.
"""

import math

CHECKING, AUTHORIZED, UNAUTHORIZED = "checking", "authorized", "unauthorized"
# Why a face is unauthorized. A face that fails the challenge may score as live, and a stranger's does.
REPLAY, CHALLENGE, STRANGER = "scored as a photo or replay", "failed the challenge", "a live stranger"
# Why a face in view has no verdict yet. The last is followed by how many pictures came.
UNKNOWN = "not seen clearly enough to tell whose it is"
PICTURE = "the only face in view is a picture in the room"
TOO_SLOW = "the camera is too slow"

# Both bounds must lie within these. One of 1e-6 beside one of 0.01 leaves a quarter of OVERTURN_S to the quicker
# verdict, which is just above what a glitch can bring.
STRICTEST, LOOSEST = 1e-6, 0.01
# How many independent looks a second of video is worth. What lasts for a tenth of a second is one glitch, and one
# look; measured correlation times of the scores on our recordings are 0.07 to 2 s, so it is rather fewer.
LOOKS_PER_S = 10.0
# Clear evidence takes so long to overturn a verdict. At 10 pictures a second one more may pass: 1 s in all.
OVERTURN_S = 0.9
# A picture speaks for no longer than this: after a pause nobody knows what was there in between. So a glitch of 0.1 s
# brings 0.2 s of evidence at most (its first picture stands for the time before it).
LONGEST_PICTURE_S = 0.1
# How fast the displayed score follows the pictures' scores, and the log odds beyond which it does not matter.
SCORE_TIME_S, SCORE_CAP = 0.3, 12.0
# Sums of floats miss a bound by less.
ROUNDING = 1e-9
# A comparison score that is as likely an owner's as a stranger's, and how fast the log odds rise with the score.
THRESHOLD, SLOPE = 0.50, 25.0
# No fewer comparisons than these authorize, and none sooner than FOR_S after the first of them; no fewer than those
# refuse: a bad start must not make an owner a stranger.
FEWEST_FOR, FOR_S, FEWEST_AGAINST = 3, 0.5, 6
# A score this far above the threshold and one this far below it, one after the other within CHANGE_S, are of two faces.
# Of 1,900 comparisons with 11 owners' own templates 6 were that far below, none of them next to one that far above.
CLEAR, CHANGE_S = 0.08, 0.6


class WaldTest:
    """The evidence about one face in Wald's test: evidence and burden decide once they reach a bound.

    pass_at, lock_at: these bounds, above and below 0. state: CHECKING, AUTHORIZED or UNAUTHORIZED.
    evidence: the log-likelihood ratio of this face's pictures so far. worst: the lowest that it has been, 0 or below.
    burden: 0 or below: what other faces left that speaks against this one (see prominence).
    """

    def __init__(self, pass_at: float, lock_at: float):
        self.pass_at, self.lock_at = pass_at, lock_at
        self.state, self.evidence, self.burden, self.worst = CHECKING, 0.0, 0.0, 0.0

    def weigh(self, log_odds: float) -> None:
        """Add to the evidence; no more than a verdict needs: an hour of live face must not outweigh the replay that
        follows it."""
        low, high = self.lock_at - self.burden, self.pass_at - self.burden
        self.evidence = max(low, min(high, self.evidence + log_odds))
        self.worst = min(self.worst, self.evidence)

    @property
    def share(self) -> float:
        """Of what a verdict needs, -1 (against the face) to 1 (for it)."""
        total = self.evidence + self.burden
        return total / (self.pass_at if total > 0 else -self.lock_at)

    @property
    def against(self) -> float:
        """What its end leaves to the next face: the evidence against it, 0 or below."""
        return self.burden + min(0.0, self.evidence)

    def add_burden(self, left: float) -> None:
        """Take over what other faces left, 0 or below."""
        self.burden = max(self.lock_at, self.burden + left)

    def unburden(self) -> None:
        """What speaks against it, and what other faces left, counts no longer."""
        self.evidence, self.burden, self.worst = min(self.evidence, self.pass_at), 0.0, 0.0


class Verdict(WaldTest):
    """Whether one face is live.

    false_pass, false_lock: bounds, STRICTEST to LOOSEST, on the chance that a replay is authorized or a live face
        is not, as far as looks are independent. Raises ValueError outside.
    log_odds: the mean of the last moments, None before the first picture.
    clear: the log odds, above 0, from which on, or below its negative, steady evidence decides as fast as it can;
        nearer to 0 it takes longer in proportion. 1.5 with the default bounds, 1.0 to 3.1 with others.
    """

    def __init__(self, false_pass: float = 0.001, false_lock: float = 0.001):
        for rate in (false_pass, false_lock):
            if not STRICTEST <= rate <= LOOSEST:
                raise ValueError(f"an error rate of {rate}; it must be from {STRICTEST} to {LOOSEST}")
        self.false_pass, self.false_lock = false_pass, false_lock
        super().__init__(math.log((1 - false_lock) / false_pass), math.log(false_lock / (1 - false_pass)))
        self.clear = (self.pass_at - self.lock_at) / (LOOKS_PER_S * OVERTURN_S)
        self.log_odds: float | None = None

    def update(self, lasted_s: float, log_odds: float) -> str:
        """Take in a picture of the face and return the state.

        lasted_s: seconds that it stands for, 0 for the first. log_odds: of a live face; what is not a number has seen
        no live face.
        """
        log_odds = log_odds if log_odds == log_odds else -SCORE_CAP
        lasted_s = min(lasted_s, LONGEST_PICTURE_S)
        self.weigh(max(-self.clear, min(self.clear, log_odds)) * LOOKS_PER_S * lasted_s)
        # What other faces left refuses nobody before a picture of this one speaks clearly against it.
        refusing = -self.clear if self.burden else 0.0
        if self.share >= 1 - ROUNDING:
            self.state = AUTHORIZED
        elif self.share <= ROUNDING - 1 and log_odds < refusing:
            self.state = UNAUTHORIZED
        shown = max(-SCORE_CAP, min(SCORE_CAP, log_odds))
        weight = 1 - math.exp(-lasted_s / SCORE_TIME_S)
        self.log_odds = shown if self.log_odds is None else self.log_odds + weight * (shown - self.log_odds)
        return self.state

    def fresh(self) -> "Verdict":
        """One with the same bounds that has seen nothing."""
        return Verdict(self.false_pass, self.false_lock)


class OwnerTest(WaldTest):
    """Whether one face is an owner's (AUTHORIZED) or a stranger's (UNAUTHORIZED), by comparison scores.

    bounds: the verdict whose bounds hold: false_pass that a stranger is authorized, false_lock that an owner is not.
    threshold: the comparison score, -1 to 1, that speaks neither for an owner nor against.
    calm: the last comparison brought no news.
    """

    def __init__(self, bounds: Verdict, threshold: float = THRESHOLD):
        super().__init__(bounds.pass_at, bounds.lock_at)
        self._bounds, self._threshold = bounds, threshold
        self._for_since_s = math.inf  # when a comparison spoke for an owner first
        self._against = 0  # how many spoke against
        self._clear_s, self._clearly_owner = -math.inf, False  # when one was clear last, and what it said
        self.calm = False

    def add(self, time_s: float, score: float, live: bool, ahead: bool = True) -> bool:
        """Take in a comparison; False: this face is another one than a moment ago.

        score: -1 to 1. live: whether the anti-spoofing network took this face in this picture for live; else the
        score is no evidence. ahead: False of a face that is turned away, of which only a clear score for an owner is.
        """
        above = score - self._threshold
        if not ahead and above < CLEAR:
            return True
        if abs(above) >= CLEAR:
            changed = time_s - self._clear_s <= CHANGE_S and self._clearly_owner != (above > 0)
            self._clear_s, self._clearly_owner = time_s, above > 0
            if changed:
                return False
        self.calm = live and (above > 0) == (self.state == AUTHORIZED) and self.state != CHECKING
        if live:
            self._decide(time_s, above)
        return True

    def _decide(self, time_s: float, above: float) -> None:
        if above > 0:
            self._for_since_s = min(self._for_since_s, time_s)
        else:
            self._against += 1
        # So many at least of either kind make a verdict.
        self.weigh(max(self.lock_at / FEWEST_AGAINST, min(self.pass_at / FEWEST_FOR, SLOPE * above)))
        if self.share >= 1 - ROUNDING and time_s - self._for_since_s >= FOR_S - 1e-6:
            self.state = AUTHORIZED
        elif self.share <= ROUNDING - 1 and above <= 0 and self._against >= FEWEST_AGAINST:
            self.state = UNAUTHORIZED

    def fresh(self) -> "OwnerTest":
        """One that has seen nothing."""
        return OwnerTest(self._bounds, self._threshold)
