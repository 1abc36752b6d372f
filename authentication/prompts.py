"""What a challenge asks for, in words to show and to speak."""

from typing import NamedTuple

LEFT, RIGHT = "left", "right"  # the user's own
AHEAD, BACK, PAUSE, PASSED = "ahead", "back", "pause", "passed"
TEXTS = {
    AHEAD: "Look straight ahead",
    LEFT: "Turn your head left",
    RIGHT: "Turn your head right",
    BACK: "Now look ahead again",
    PASSED: "Thank you",
}
# Short, with the word that matters early: a prompt must not come late.
SENTENCES = {LEFT: "Left. Turn left.", RIGHT: "Right. Turn right.", BACK: "And back."}


class Prompt(NamedTuple):
    """What to show.

    kind: AHEAD, LEFT, RIGHT, BACK, PAUSE or PASSED. text: for the user. left: share of the time that is left,
    1 to 0, None where there is no limit. done, turns: turns made, and asked for, in this round.
    """

    kind: str
    text: str
    left: float | None
    done: int
    turns: int
