"""What is drawn on a picture can be read, and lies on nothing else."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authentication import drawing, lettering, panel, view
from authentication.drawing import annotate
from authentication.prompts import LEFT, RIGHT, TEXTS, Prompt
from authentication.verdict import AUTHORIZED, CHALLENGE, CHECKING, REPLAY, STRANGER, UNAUTHORIZED
from authentication.view import View, mirrored

FACE = np.array([[100, 80, 60, 80]], np.float32)
NOBODY = FACE[:0]
STATES = [CHECKING, AUTHORIZED, UNAUTHORIZED]
# height, width: the sample, old and new cameras, 4K, and a phone held upright
SIZES = [(144, 176), (240, 320), (480, 640), (720, 1280), (2160, 3840), (656, 368)]
WHAT_WAS_DONE = "Unauthorized: workstation locked, owner notified"
NO_PICTURE = "camera 0: no picture for 5 s; trying again in 4 s"


def black(size: tuple[int, int]) -> np.ndarray:
    return np.zeros((*size, 3), np.uint8)


def face_in(size: tuple[int, int]) -> np.ndarray:
    """The box of a face in the middle of a picture, half as tall as it."""
    height, width = size
    return np.array([[width / 2 - height / 5, height / 4, height / 2.5, height / 2]])


def test_the_label_tells_p_real_whatever_the_verdict_is():
    assert view.label(AUTHORIZED, 0.9987) == "Authorized: 0.9987"
    assert view.label(UNAUTHORIZED, 0.0312) == "Unauthorized: 0.0312"
    assert view.label(UNAUTHORIZED, None) == "Unauthorized"
    assert view.label(CHECKING, 0.7) == "Checking"


def test_the_banner_tells_what_happened_and_what_was_done():
    assert view.banner(UNAUTHORIZED, "workstation locked, owner notified") == WHAT_WAS_DONE
    assert view.banner(UNAUTHORIZED, "") == "Unauthorized", "not: nothing was done; it is being done"
    assert view.banner(AUTHORIZED, "workstation locked") == "Authorized: access granted", "not the last intruder's"
    assert view.banner(CHECKING, "workstation locked") == ""


def test_the_banner_has_short_words_for_each_reason():
    words = {reason: view.banner(UNAUTHORIZED, view.why(reason), "locking") for reason in (REPLAY, CHALLENGE, STRANGER)}
    assert words == {
        REPLAY: "Unauthorized: scored as a photo or replay, locking",
        CHALLENGE: "Unauthorized: failed the challenge, locking",
        STRANGER: "Unauthorized: not the owner, locking",
    }
    assert view.banner(UNAUTHORIZED, view.why("")) == "Unauthorized"


def test_label_and_banner_of_a_live_stranger_say_so():
    assert view.label(UNAUTHORIZED, None, stranger=True) == "Unauthorized: not the owner"
    assert view.banner(UNAUTHORIZED, view.NOT_THE_OWNER, "") == "Unauthorized: not the owner"
    assert view.banner(UNAUTHORIZED, view.NOT_THE_OWNER, "locking") == "Unauthorized: not the owner, locking"


def test_a_live_stranger_has_a_box_and_a_sign_of_their_own_and_the_verdicts_red(plates):
    size = (480, 640)
    words = view.banner(UNAUTHORIZED, view.NOT_THE_OWNER)
    views = [View(face_in(size), UNAUTHORIZED, None, banner=words, stranger=stranger) for stranger in (True, False)]
    strangers, other = (annotate(black(size), seen) for seen in views)
    x, y, w, h = face_in(size)[0].round().astype(int)
    assert strangers[y + h // 2, x].tolist() == list(drawing.VIOLET)
    label, other_label = plates
    assert label[2] - label[0] > other_label[2] - other_label[0], "it says more"
    for row, column in ((470, 3), (label[1] + 3, label[0] + 8)):
        assert strangers[row, column].tolist() == list(drawing.COLOURS[UNAUTHORIZED])
    ink = [(picture[440:] >= 250).all(-1) for picture in (strangers, other)]
    columns = np.flatnonzero((ink[0] != ink[1]).any(axis=0))
    assert len(columns) and np.ptp(columns) < 30, "nothing but the sign differs"


def test_the_strangers_violet_is_no_other_states_colour_to_the_colour_blind():
    """As those see it who lack red's cones, or green's. Source of the matrices, on linear sRGB: G. Machado, M. Oliveira
    and L. Fernandes, IEEE Transactions on Visualization and Computer Graphics 15, 2009, severity 1."""
    protan = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    deutan = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    colours = np.array([drawing.VIOLET, *drawing.COLOURS.values(), drawing.AMBER])[:, ::-1] / 255
    for matrix in (np.eye(3), protan, deutan):
        seen = (colours**2.2 @ np.transpose(matrix)).clip(0, 1) ** (1 / 2.2)
        assert np.linalg.norm(seen[1:] - seen[0], axis=1).min() > 0.5


@pytest.mark.parametrize("state", STATES)
def test_annotating_draws_the_verdicts_colour_on_a_copy(state):
    frame = black((300, 400))
    picture = annotate(frame, View(FACE, state, 0.9))
    assert not frame.any()
    np.testing.assert_array_equal(picture[120, 100], drawing.COLOURS[state])


def across(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The pixels beside the left edge of a box, at half its height."""
    x, y, w, h = box
    return picture[round(y + h / 2), round(x - w / 8) : round(x + w / 8)].astype(int)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state, stranger", [*((state, False) for state in STATES), (UNAUTHORIZED, True)])
def test_faces_that_have_no_consequences_have_a_grey_box_and_no_words(plates, size, state, stranger):
    height, width = size
    others = np.array([[0.75, 0.85, 0.16, 0.1], [0.08, 0.87, 0.1, 0.1]]) * (width, height, width, height)
    alone = View(face_in(size), state, 0.9, 0.5, stranger=stranger)
    before = annotate(black(size), alone)
    words = [*plates]
    plates.clear()
    after = annotate(black(size), replace(alone, others=others))
    assert plates == words, "not a label or a bar more"
    drawn = (before != after).any(axis=-1)
    assert not np.ptp(after[drawn].astype(int), axis=-1).any(), "no colour"
    for box in others:
        assert (across(after, box) == drawing.NO_COLOUR).all(-1).any()
        x, y, w, h = box.round().astype(int)
        drawn[y - 5 : y + h + 6, x - 5 : x + w + 6] = False
    assert not drawn.any(), "nothing is drawn elsewhere"


def test_the_box_of_a_face_without_consequences_is_thinner_and_lies_under_the_other():
    size, frame = (1080, 1920), black((1080, 1920))
    box, other = face_in(size)[0], np.array([1400, 300, 300, 400])
    picture = annotate(frame, View(box[None], AUTHORIZED, 0.9, others=other[None]))
    thin, thick = ((across(picture, one).max(axis=-1) > 100).sum() for one in (other, box))
    assert 0 < thin < thick
    same = annotate(frame, View(box[None], AUTHORIZED, 0.9, others=box[None]))
    assert (across(same, box) == drawing.COLOURS[AUTHORIZED]).all(-1).sum() >= thick - 1


# --- Where things stand ---


@pytest.fixture
def plates(monkeypatch) -> list[tuple[int, int, int, int]]:
    """left, top, right, bottom of all that is drawn with a ground of its own: labels, bars, corner, notice."""
    seen, draw = [], drawing.plate

    def spy(picture, area, *rest):
        seen.append(area)
        draw(picture, area, *rest)

    monkeypatch.setattr(drawing, "plate", spy)
    return seen


def apart(a, b) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def inside(area, size) -> bool:
    return area[0] >= 0 and area[1] >= 0 and area[2] <= size[1] and area[3] <= size[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("edge", [(-0.2, -0.2), (0.8, -0.3), (-0.3, 0.8), (0.9, 0.9), (0.3, -0.1), (0.3, 0.75)])
def test_label_and_bar_of_a_face_at_any_edge_stay_inside_the_picture(plates, size, state, edge):
    side = min(size) / 2.5
    box = np.array([[edge[0] * size[1], edge[1] * size[0], side, side]])
    picture = annotate(black(size), View(box, state, 0.5, 0.5, fps=30))
    assert len(plates) == (3 if state == CHECKING else 2), "the corner, the label, and the bar while checking"
    assert all(inside(plate, size) for plate in plates)
    label = plates[-1]
    ground = picture[label[1] + 1 : label[3] - 1, label[0] + 4 : label[2] - 4]
    assert (ground == drawing.COLOURS[state]).all(-1).mean() > 0.4


def everything(size, state, boxes=None):
    prompt = Prompt(RIGHT, TEXTS[RIGHT], 0.7, 1, 3)
    boxes = face_in(size) if boxes is None else boxes
    return View(boxes, state, 0.0013, 0.6, WHAT_WAS_DONE, NO_PICTURE, prompt, 29.7)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shown", ["banner", "prompt", "trouble", "all"])
@pytest.mark.parametrize("state", [AUTHORIZED, UNAUTHORIZED])
def test_nothing_lies_on_anything_else(plates, size, shown, state):
    full = everything(size, state)
    some = {"all": full}.get(shown) or View(
        full.boxes,
        state,
        full.score,
        full.progress,
        full.banner if shown == "banner" else "",
        full.trouble if shown == "trouble" else "",
        full.prompt if shown == "prompt" else None,
        full.fps,
    )
    picture = annotate(np.full((*size, 3), 90, np.uint8), some)
    assert all(inside(plate, size) for plate in plates)
    assert all(apart(a, b) for n, a in enumerate(plates) for b in plates[:n])
    # The panel and the banner reach from side to side: they are what the picture's left edge shows.
    edge = (picture[:, 0] == 90).all(-1)
    top, bottom = np.flatnonzero(edge)[[0, -1]]
    assert (top > 0) == (some.prompt is not None) and (bottom < size[0] - 1) == bool(some.banner)
    assert all(plate[1] > top - 1 and plate[3] <= bottom + 1 for plate in plates)
    # White is ink only, and lies on something.
    ink = (picture >= 250).all(-1)
    ink[:top] = ink[bottom + 1 :] = False
    assert ink.any()
    for left, up, right, down in plates:
        ink[up:down, left:right] = False
    assert not ink.any()
    assert not (picture[:, [0, -1]] >= 250).all(-1).any(), "no word runs out of the picture"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SIZES),
    st.sampled_from(STATES),
    st.lists(st.tuples(*[st.floats(-0.3, 1.2)] * 2, *[st.floats(0.001, 0.9)] * 2), max_size=12),
    st.booleans(),
    st.integers(0, 12),
)
def test_many_faces_anywhere_are_drawn_without_labels_on_labels(size, state, faces, more, count):
    places = np.array(faces).reshape(-1, 4) * (size[1], size[0], size[1], size[0])
    boxes, others = places[:count], places[count:]
    view = everything(size, state, boxes) if more else View(boxes, state, 0.5, 0.5)
    view = replace(view, others=others)
    tags, place = [], drawing._place

    def spy(*args):
        tags.append(place(*args))
        return tags[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_place", spy)
        annotate(black(size), view)
    tags = [tag for tag in tags if tag]
    assert all(inside(tag, size) for tag in tags)
    assert all(apart(a, b) for n, a in enumerate(tags) for b in tags[:n])
    if len(boxes) and not more:
        assert tags


@pytest.mark.parametrize("size", SIZES)
def test_the_bar_fills_with_the_evidence_and_goes_when_it_is_complete(plates, size):
    lengths = []
    for progress in (0, 0.25, 0.5, 1, 7):
        plates.clear()
        picture = annotate(black(size), View(face_in(size), CHECKING, None, progress))
        left, top, right, bottom = plates[0]
        row = picture[(top + bottom) // 2]
        lengths.append((row[1:-1] == drawing.COLOURS[CHECKING]).all(-1).sum() / (right - left - 2))
    assert lengths == pytest.approx([0, 0.25, 0.5, 1, 1], abs=0.03)
    x, _, w, _ = face_in(size)[0]
    assert (left, right) == pytest.approx((x, x + w), abs=1)
    for over in (
        View(face_in(size), AUTHORIZED, 0.9, 1),
        View(face_in(size), CHECKING, None, 1, prompt=Prompt(LEFT, "Turn", 0.5, 0, 1)),
    ):
        plates.clear()
        annotate(black(size), over)
        assert len(plates) == 1, "the label"


# --- Whether it can be read ---


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB, WCAG 2: 0 to 1."""
    part = pixels[..., ::-1] / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(pixels: np.ndarray) -> float:
    """Between a text and its ground, WCAG 2: 1 to 21. The ground is what most pixels show."""
    light = luminance(pixels).ravel()
    ground = np.median(light)
    ink = max(np.percentile(light, (1.5, 98.5)), key=lambda value: abs(value - ground))
    return (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05)


GROUNDS = {"black": 0, "grey": 128, "white": 255}


@pytest.mark.parametrize("ground", [*GROUNDS, "noise", "own colour"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
def test_every_text_can_be_read_on_light_and_on_dark_video(plates, ground, size, state):
    frame = np.full((*size, 3), GROUNDS.get(ground, drawing.COLOURS[state]), np.uint8)
    if ground == "noise":
        frame = np.random.default_rng(1).integers(0, 256, frame.shape, np.uint8)
    picture = annotate(frame, View(face_in(size), state, 0.5, 0.5, WHAT_WAS_DONE, fps=30))
    for left, top, right, bottom in (plates[0], plates[-1]):  # corner and label
        assert contrast(picture[top + 2 : bottom - 2, left + 3 : right - 3]) >= 4.5
        assert bottom - top >= max(10, size[0] / 40)
    banner = picture[-round(1.8 * drawing._text_size(*size)) :]
    assert contrast(banner[:, size[1] // 5 : -size[1] // 5]) >= 4.5
    plates.clear()
    picture = annotate(frame, View(NOBODY, state, trouble=NO_PICTURE))
    ((left, top, right, bottom),) = plates
    assert contrast(picture[top + 3 : bottom - 3, left + 3 : right - 3]) >= 4.5


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("state, stranger", [*((state, False) for state in STATES), (UNAUTHORIZED, True)])
@pytest.mark.parametrize("has_consequences", [True, False])
def test_the_box_is_seen_on_any_video(ground, state, stranger, has_consequences):
    frame = np.full((480, 640, 3), ground, np.uint8)
    box = np.array([[200.3, 150.7, 180, 200]])
    some = View(box, state, 0.5, stranger=stranger)
    edge = luminance(
        annotate(frame, some if has_consequences else replace(some, boxes=NOBODY, others=box))[250, 190:212]
    )
    assert (edge.max() + 0.05) / (edge.min() + 0.05) >= 3
    assert len(np.unique(edge.round(2))) > 1


@pytest.mark.parametrize("size", SIZES)
def test_a_challenge_can_be_read_on_white_video(size):
    panel = annotate(
        np.full((*size, 3), 255, np.uint8), View(NOBODY, CHECKING, prompt=Prompt(LEFT, TEXTS[LEFT], 0.5, 0, 2))
    )
    bottom = np.flatnonzero((panel[:, -1] == 255).all(-1))[0]
    words = panel[: round(bottom * 0.65), round(size[1] * 0.25) : round(size[1] * 0.95)]
    assert contrast(words) >= 4.5


text = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=120)


@settings(max_examples=200, deadline=None)
@given(text, st.integers(60, 1300), st.floats(10, 60))
def test_a_text_of_any_length_fits_its_room(text, room, size):
    lines, used = lettering.fit(text, room, size)
    assert len(lines) <= 3 and used <= size
    assert all(lettering.width_of(line, round(used), lettering.BOLD) <= room for line in lines)
    if not any(line.endswith("...") for line in lines):
        assert " ".join(lines).split() == text.split(), "not a word is lost unless the text says so"


def test_a_long_text_shrinks_a_little_before_it_is_broken():
    wide = lettering.width_of(WHAT_WAS_DONE, 20, lettering.BOLD)
    assert lettering.fit(WHAT_WAS_DONE, wide, 20.0) == ((WHAT_WAS_DONE,), 20)
    lines, size = lettering.fit(WHAT_WAS_DONE, round(0.85 * wide), 20.0)
    assert len(lines) == 1 and 16 <= size < 20
    lines, size = lettering.fit(WHAT_WAS_DONE, round(0.6 * wide), 20.0)
    assert len(lines) == 2 and size >= 16


def test_threads_do_not_garble_each_others_texts():
    views = [View(face_in(size), UNAUTHORIZED, 0.1, 0, WHAT_WAS_DONE, fps=30) for size in SIZES[:3]]
    wanted = [annotate(black(size), view) for size, view in zip(SIZES, views)]
    wrong = []

    def draw():
        for n in range(150):
            size, view = SIZES[n % 3], views[n % 3]
            if not np.array_equal(annotate(black(size), view), wanted[n % 3]):
                wrong.append(n)

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("state", STATES)
def test_a_mirror_swaps_the_sides_of_picture_and_boxes_and_no_text(state):
    frame = black((480, 640))
    frame[:, :320] = (90, 30, 30)  # what is at the user's right
    view = View(np.array([[50.0, 200, 100, 120]]), state, 0.9, banner="Words", prompt=Prompt(LEFT, "Turn", 1, 0, 1))
    view = replace(view, others=np.array([[400.0, 210, 80, 90]]))
    flipped, seen = mirrored(frame, view)
    assert flipped[470, 634].tolist() == [90, 30, 30] and frame[470, 5].tolist() == [90, 30, 30]
    assert seen.boxes.tolist() == [[490, 200, 100, 120]] and view.boxes[0, 0] == 50
    assert seen.others.tolist() == [[160, 210, 80, 90]] and view.others[0, 0] == 400
    plain, mirror = annotate(frame, view), annotate(flipped, seen)
    assert plain[250, 400].tolist() == mirror[250, 240].tolist() == list(drawing.NO_COLOUR)
    assert plain[260, 50].tolist() == mirror[260, 590].tolist() == list(drawing.COLOURS[state])
    for rows in (slice(60), slice(455, None)):
        ink = [(picture[rows] >= 250).all(-1) for picture in (plain, mirror)]
        assert ink[0].any() and np.array_equal(*ink), "the same words in both, not one in mirror writing"


@pytest.mark.parametrize("size", [(240, 320), (656, 368), (720, 1280), (2160, 3840)])
@pytest.mark.parametrize("kind", [LEFT, RIGHT])
def test_the_arrow_stands_on_the_side_it_points_to(size, kind):
    prompt = Prompt(kind, TEXTS[kind], 0.5, 0, 2)
    picture = annotate(np.zeros((*size, 3), np.uint8), View(NOBODY, CHECKING, prompt=prompt))
    height, width = size
    amber = np.abs(picture.astype(int) - panel.PROMPT_COLOURS[kind]).max(axis=-1) < 3
    bar = int(np.flatnonzero(amber[:, 0]).max())  # the countdown's last row
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
