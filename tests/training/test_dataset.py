"""What is in a data set's folders is read, or named and counted."""

import os
import shutil
import sys

import cv2
import numpy as np
import pytest
from dataset_parts import fill
from pytorch_parts import stand_in, without_network

from anti_spoofing import Witness, view_of_crop
from anti_spoofing.minifasnet import WEIGHTS
from capture import crops
from capture.crops import Crop
from face_detector import VIEW_SIDE
from training import dataset as dataset_module
from training.dataset import DataError, load, warnings_about

LINKS = pytest.mark.skipif(sys.platform == "win32", reason="links ask for a privilege there")


@pytest.fixture
def dataset(tmp_path):
    fill(tmp_path / "dataset" / "real", "desk", 20)
    fill(tmp_path / "dataset" / "fake", "tablet", 20, shade=100, source="cafe")
    return tmp_path / "dataset"


def told_of(dataset, margin=2.7):
    """The examples, and what was told of them."""
    lines = []
    return load(dataset, margin, lines.append), lines


def test_crops_come_with_all_that_they_carry(dataset):
    examples, told = told_of(dataset)
    assert told == []
    assert examples.crops.dtype == np.uint8 and examples.crops.shape == (40, VIEW_SIDE, VIEW_SIDE, 3)
    assert sorted(set(examples.recordings)) == ["fake/tablet", "real/desk"]
    assert set(examples.sources[examples.is_real]) == {"f00d"} and (examples.witness == 0.5).all()
    desk = examples.recordings == "real/desk"
    np.testing.assert_array_equal(examples.is_real, desk)
    np.testing.assert_allclose(sorted(examples.time_s[desk]), np.arange(20) / 30, atol=1e-3)
    levels = np.round(examples.time_s[desk] * 30)
    np.testing.assert_array_equal(examples.crops[desk].mean(axis=(1, 2, 3)), levels)


# --- Fault 4: links and WebP ---


@LINKS
def test_a_class_folder_may_be_a_link(dataset, tmp_path):
    (dataset / "fake").rename(tmp_path / "replays")
    (dataset / "fake").symlink_to(tmp_path / "replays")
    examples, told = told_of(dataset)
    assert sum(~examples.is_real) == 20 and not examples.is_simulated.any() and told == []


@LINKS
def test_the_data_set_and_its_pictures_may_be_links(dataset, tmp_path):
    (tmp_path / "link").symlink_to(dataset)
    for file in list((dataset / "real").iterdir()):
        file.rename(tmp_path / file.name)
        file.symlink_to(tmp_path / file.name)
    assert len(told_of(tmp_path / "link")[0].crops) == 40


@pytest.mark.parametrize("suffix", [".webp", ".WEBP", ".jpg", ".bmp", ".tiff", ".jfif", ".odd", ""])
def test_pictures_are_read_whatever_they_are_called(dataset, suffix):
    shutil.rmtree(dataset / "fake")
    (dataset / "fake").mkdir()
    kind = suffix.lower() if suffix.lower() in (".webp", ".jpg", ".bmp", ".tiff") else ".png"
    for number in range(10):
        data = cv2.imencode(kind, np.full((40, 40, 3), 20 * number, np.uint8))[1]
        (dataset / "fake" / f"tv_{number}{suffix}").write_bytes(data.tobytes())
    examples, told = told_of(dataset)
    assert set(examples.recordings[~examples.is_real]) == {"fake/tv"} and sum(~examples.is_real) == 10
    assert told == [] or "going on without" in told[0]


@LINKS
@pytest.mark.parametrize("label", ["fake", "real"])
def test_a_class_folder_that_leads_nowhere_is_told_and_nothing_is_simulated(dataset, label):
    shutil.rmtree(dataset / label)
    (dataset / label).symlink_to("nowhere")
    with pytest.raises(DataError, match=f"{label}: not a folder"):
        told_of(dataset)


def test_a_class_folder_that_cannot_be_read_is_told_and_nothing_is_simulated(dataset, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("fake"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=r"fake: cannot be read \(Permission denied\)"):
        told_of(dataset)


def test_fakes_that_cannot_be_read_are_not_replaced_by_simulated_ones(dataset):
    for file in (dataset / "fake").iterdir():
        file.rename(file.with_suffix(".heic")).write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match="0 crops, and 20 files that are none"):
        told_of(dataset)


@pytest.mark.parametrize("fakes", [None, 0, 5])
def test_only_without_replays_some_are_simulated_from_the_live_crops(tmp_path, fakes):
    fill(tmp_path / "real", "desk", 20)
    fill(tmp_path / "real", "kitchen", 10, source="cafe")
    if fakes is not None:
        fill(tmp_path / "fake", "tv", fakes, shade=100, source="beef")
    examples, _ = told_of(tmp_path)
    names, counts = np.unique(examples.recordings[~examples.is_real], return_counts=True)
    filmed = {"fake/tv": 5} if fakes else {}
    assert dict(zip(names, counts)) == filmed | {"fake/simulated: desk": 20, "fake/simulated: kitchen": 10}
    assert examples.is_simulated.sum() == 30 and not examples.is_simulated[examples.is_real].any()
    desk, replayed = examples.recordings == "real/desk", examples.recordings == "fake/simulated: desk"
    np.testing.assert_array_equal(examples.time_s[desk], examples.time_s[replayed])
    assert np.abs(examples.crops[desk].astype(int) - examples.crops[replayed]).mean() > 5
    assert any("replays are simulated" in warning for warning in warnings_about(examples))


# --- Fault 5: copies ---


def test_the_same_video_under_two_names_is_one_recording(dataset):
    for label, other in (("real", "kitchen"), ("fake", "screen")):
        for file in list((dataset / label).iterdir()):
            recording, frame = crops.origin(file)
            shutil.copyfile(file, crops.path_of(dataset / label, other, frame))
    fill(dataset / "real", "late", 3, shade=60, time_s=7.0)  # more of it, at another time
    examples, told = told_of(dataset)
    assert len(examples.crops) == 41
    assert set(examples.recordings) == {"real/desk", "fake/screen"}
    assert told[0] == "42 of 83 pictures left out, 42 as copies"
    assert told[1:] == ["real/desk and real/late are the same video: one recording"]


@pytest.mark.parametrize("name", ["{} (2).png", "{} copy.png", "{} - Kopie.png", "{}(1).PNG"])
def test_copies_as_file_managers_name_them_are_left_out(dataset, name):
    for file in list(dataset.rglob("*.png")):
        shutil.copyfile(file, file.with_name(name.format(file.stem)))
    examples, told = told_of(dataset)
    assert len(examples.crops) == 40 and set(examples.recordings) == {"real/desk", "fake/tablet"}
    assert told == ["40 of 80 pictures left out, 40 as copies"]


def test_copies_in_another_recording_of_that_name_are_known_by_their_fingerprint(dataset):
    for file in list((dataset / "real").iterdir()):
        shutil.copyfile(file, file.with_name(f"copy of {file.name}"))  # recording "copy of desk"
    examples, told = told_of(dataset)
    assert sum(examples.is_real) == 20 and len(set(examples.recordings[examples.is_real])) == 1


def test_copies_of_other_tools_pictures_are_known_by_their_pixels(tmp_path):
    for label, shade in (("real", 0), ("fake", 100)):
        (tmp_path / label).mkdir()
        for number in range(10):
            data = cv2.imencode(".png", np.full((40, 30, 3), shade + number, np.uint8))[1].tobytes()
            (tmp_path / label / f"a_{number}.png").write_bytes(data)
            (tmp_path / label / f"b_{number}.png").write_bytes(data)
    examples, told = told_of(tmp_path)
    assert len(examples.crops) == 20 and set(examples.recordings) == {"real/a", "fake/a"}
    assert "20 of 40 pictures left out, 20 as copies" in told


def test_two_videos_of_one_name_in_two_classes_stay_two(dataset):
    fill(dataset / "fake", "desk", 20, shade=50, source="beef")
    examples, told = told_of(dataset)
    assert set(examples.recordings) == {"real/desk", "fake/desk", "fake/tablet"} and told == []


# --- Fault 17, and what else lies in folders ---


@LINKS
def test_a_dangling_link_is_named_and_left_out(dataset):
    (dataset / "real" / "x_000001.png").symlink_to("nowhere")
    (dataset / "real" / "y_000001.png").symlink_to("y_000001.png")  # to itself
    examples, told = told_of(dataset)
    assert len(examples.crops) == 40 and len(told) == 3
    assert "x_000001.png: a link to a file that is not there; left out" in told[0]
    assert "y_000001.png: cannot be read" in told[1] and told[2] == "2 of 42 pictures left out"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_named_and_nobody_waits_for_it(dataset):
    os.mkfifo(dataset / "fake" / "y_000001.png")
    examples, told = told_of(dataset)
    assert len(examples.crops) == 40 and "y_000001.png: not a regular file" in told[0]


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there are no devices")
def test_nor_for_a_device_that_never_ends(dataset):
    (dataset / "real" / "z_000001.png").symlink_to("/dev/zero")
    assert "z_000001.png: not a regular file" in told_of(dataset)[1][0]


def test_a_file_that_cannot_be_read_is_named_and_left_out(dataset, monkeypatch):
    read = crops.read

    def refusing(path):
        if path.name == "desk_000003.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(crops, "read", refusing)
    examples, told = told_of(dataset)
    assert sum(examples.is_real) == 19
    assert told == [
        f"{dataset / 'real' / 'desk_000003.png'}: cannot be read (Permission denied); left out",
        "1 of 40 pictures left out",
    ]


def test_what_is_no_picture_is_named_and_counted(dataset):
    (dataset / "real" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no picture")
    (dataset / "fake" / "empty.png").write_bytes(b"")
    (dataset / "fake" / "notes.txt").write_text("buy milk")
    examples, told = told_of(dataset)
    assert len(examples.crops) == 40 and len(told) == 4
    for name in ("empty.png", "broken.png", "notes.txt"):
        assert any(f"{name}: not a picture that can be decoded; left out" in line for line in told)
    assert told[-1] == "3 of 43 pictures left out"


def test_what_systems_leave_in_folders_is_not_worth_a_word(dataset):
    for label in ("", "real", "fake"):
        for name in (".DS_Store", "._desk_000001.png", "Thumbs.db", "desktop.ini", "README.md"):
            (dataset / label / name).write_bytes(b"x")
    (dataset / "real" / ".thumbnails").mkdir()
    fill(dataset / "real" / ".thumbnails", "small", 9, shade=200)
    (dataset / "notes.txt").write_text("buy milk")
    examples, told = told_of(dataset)
    assert len(examples.crops) == 40 and told == []


@LINKS
def test_folders_that_lead_into_themselves_are_walked_once(dataset):
    (dataset / "real" / "again").symlink_to(dataset / "real")
    (dataset / "real" / "all").symlink_to(dataset)
    assert len(told_of(dataset)[0].crops) == 40


def test_a_directory_named_as_a_picture_is_another_class(dataset):
    (dataset / "real" / "x.png").mkdir()
    assert len(told_of(dataset)[0].crops) == 40, "an empty one is none"
    fill(dataset / "real" / "x.png", "desk", 2)
    with pytest.raises(DataError, match="the classes are fake, real, x.png"):
        told_of(dataset)


# --- How wide, and what the witness said ---


def test_crops_of_other_tools_are_taken_as_wide_as_margin_says(dataset):
    for path in dataset.rglob("*.png"):
        path.unlink()
    for label, shade in (("real", 0), ("fake", 100)):
        for number in range(10):
            cv2.imwrite(str(dataset / label / f"{number}.jpg"), np.full((40, 30, 3), shade + 9 * number, np.uint8))
    assert told_of(dataset, 1.0)[0].margin == 1.0
    examples, _ = told_of(dataset, 1.6)
    assert examples.margin == 1.6 and set(examples.recordings) == {"real/", "fake/"}
    assert sorted(examples.time_s[examples.is_real] * 30) == list(range(10))


def test_wider_crops_are_cut_down_to_the_narrowest(dataset):
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[40:80, 40:80] = 255  # the middle third
    crops.write(dataset / "real", Crop(picture, "wide", 0, "beef", 0.0, 8.1, (0.5, 0.0, 1.0, 1.0), 1.0))
    examples, _ = told_of(dataset)
    row = list(examples.recordings).index("real/wide")
    assert examples.margin == 2.7
    assert examples.crops[row][4:-4, 4:-4].min() == 255
    np.testing.assert_allclose(examples.inside[row], (0.5, 0, 1, 1), atol=0.02)


@pytest.fixture
def standing_in(monkeypatch, tmp_path):
    """A witness with small random weights."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS).write_bytes(stand_in(monkeypatch, tmp_path))
    monkeypatch.setattr(dataset_module, "Witness", lambda: Witness(tmp_path / "weights"))
    return Witness(tmp_path / "weights")


def test_what_the_witness_said_of_a_frame_is_used_and_else_it_is_asked_of_the_crop(dataset, standing_in):
    rng = np.random.default_rng(0)
    silent = []
    for number in range(70):  # more than are asked at once
        inside = (0.2, 0.0, 1.0, 1.0) if number % 2 else (0.0, 0.0, 1.0, 1.0)
        picture = rng.integers(0, 256, (90, 90, 3), np.uint8)
        silent.append(Crop(picture, "silent", number, "beef", number / 30, 2.7, inside))
        crops.write(dataset / "real", silent[-1])
    examples, _ = told_of(dataset)
    asked = examples.recordings == "real/silent"
    assert (examples.witness[~asked] == 0.5).all()
    expected = standing_in.log_odds([view_of_crop(crop.picture, crop.inside, 2.7) for crop in silent])
    order = np.round(examples.time_s[asked] * 30).astype(int)
    np.testing.assert_allclose(examples.witness[asked], expected[order], atol=1e-3)
    assert np.ptp(expected) > 0.01


def test_of_simulated_replays_the_witness_is_asked(tmp_path, standing_in):
    fill(tmp_path / "d" / "real", "desk", 20)
    examples, _ = told_of(tmp_path / "d")
    assert (examples.witness[examples.is_real] == 0.5).all() and np.isfinite(examples.witness).all()


def test_without_its_weights_that_is_told_in_one_line(dataset, monkeypatch, tmp_path):
    without_network(monkeypatch, tmp_path)
    monkeypatch.setattr(dataset_module, "Witness", lambda: Witness(tmp_path / "none"))
    assert told_of(dataset)[1] == [], "nobody has to ask it"
    fill(dataset / "real", "silent", 5, shade=60, source="beef", witness=None)
    examples, told = told_of(dataset)
    assert len(told) == 1 and "\n" not in told[0] and "going on without" in told[0] and "LIVENESS" not in told[0]
    assert np.isnan(examples.witness).sum() == 5


def test_altered_weights_end_it(dataset, standing_in, tmp_path):
    (tmp_path / "weights" / WEIGHTS).write_bytes(b"altered")
    fill(dataset / "real", "silent", 5, shade=60, source="beef", witness=None)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(DataError, match="altered"):
        told_of(dataset)


# --- What is told of it ---


def test_what_makes_a_poor_model_is_warned_about(dataset):
    for path in (dataset / "fake").iterdir():
        path.unlink()
    fill(dataset / "fake", "fake", 20, shade=100)
    assert [text.split(";")[0] for text in warnings_about(told_of(dataset)[0])] == [
        "only 20 real crops",
        "only 20 fake crops",
        "crops of fake/fake and real/desk come from the same video, which cannot be both: delete those that are wrong",
    ]
    fill(dataset / "fake", "tablet", 580, source="beef")
    fill(dataset / "real", "kitchen", 120, source="cafe")
    for path in (dataset / "fake").glob("fake_*.png"):
        path.unlink()
    (warning,) = warnings_about(told_of(dataset)[0])
    assert warning.startswith("580 fake crops and 140 real ones")


@pytest.mark.parametrize("count, said", [(0, "only fake"), (1, "real: 1 crop; at least"), (2, "real: 2 crops; at")])
def test_too_few_crops_are_a_slip_of_the_hand(tmp_path, count, said):
    fill(tmp_path / "real", "desk", count)
    fill(tmp_path / "fake", "tv", 20, source="beef")
    with pytest.raises(DataError, match=said):
        told_of(tmp_path)


def test_classes_count_alike_and_long_recordings_less_than_their_length(dataset):
    fill(dataset / "real", "long", 320, source="beef", shade=3)
    examples, _ = told_of(dataset)
    rows = np.arange(len(examples.crops))
    weights = examples.weights(rows)
    assert weights.mean() == pytest.approx(1)
    assert weights[examples.is_real].sum() == pytest.approx(weights[~examples.is_real].sum())
    long, desk = (weights[examples.recordings == f"real/{name}"].sum() for name in ("long", "desk"))
    assert long / desk == pytest.approx(16**0.75, rel=1e-3)
