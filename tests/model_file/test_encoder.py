"""le.pickle, read without running what it says."""

import os
import pickle

import genuine_inputs
import pytest
from conftest import memory_of
from graph_parts import encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import livenessnet
from livenessnet import ModelError
from model_file.encoder import MEMO_LIMIT, REFERENCE_LIMIT


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<U4", ">U4", "<U9", object])
def test_encoders_are_read_in_every_pickle_protocol(tmp_path, protocol, dtype):
    path = tmp_path / "le.pickle"
    path.write_bytes(pickle.dumps(encoder(dtype=dtype), protocol))
    assert livenessnet.read_labels(path) == ["fake", "real"]


@pytest.mark.parametrize(
    "old, new",
    [
        (b"sklearn.preprocessing._label\n", b"sklearn.preprocessing.label\n"),
        (b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"),
    ],
)
def test_encoders_of_old_scikit_learn_and_numpy_are_read(tmp_path, old, new):
    """Protocol 0 spells module names out, so that those of other versions can be put in."""
    data = pickle.dumps(encoder(), 0)
    assert old in data
    path = tmp_path / "le.pickle"
    path.write_bytes(data.replace(old, new))
    assert livenessnet.read_labels(path) == ["fake", "real"]


def test_scikit_learn_reads_what_train_wrote(trained):
    fitted = pickle.loads(trained.le.read_bytes())
    assert type(fitted).__name__ == "LabelEncoder" and list(fitted.classes_) == ["fake", "real"]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_runs_nothing(tmp_path):
    path, trace = tmp_path / "le.pickle", tmp_path / "was here"
    disguised = encoder()
    disguised.classes_ = Evil(trace)
    for thing in (Evil(trace), disguised, [Evil(trace)]):
        path.write_bytes(pickle.dumps(thing))
        with pytest.raises(ModelError, match="mkdir"):
            livenessnet.read_labels(path)
        assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists(), "the pickle is really malicious"


@pytest.mark.parametrize("labels", [["cat", "dog"], ["real"], ["fake", "maybe", "real"], ["Fake", "Real"]])
def test_other_labels_are_refused(tmp_path, labels):
    path = tmp_path / "le.pickle"
    path.write_bytes(pickle.dumps(encoder(*labels)))
    with pytest.raises(ModelError, match="exactly 'fake' and 'real'"):
        livenessnet.read_labels(path)


def test_a_missing_encoder_is_named(tmp_path):
    with pytest.raises(ModelError, match="le.pickle: no such file"):
        livenessnet.read_labels(tmp_path / "le.pickle")


GENUINE = [pickle.dumps(encoder(), protocol) for protocol in range(6)]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda genuine, at, with_: genuine[: at % len(genuine)] + with_ + genuine[at % len(genuine) + len(with_) :],
            st.sampled_from(GENUINE),
            st.integers(0, 1000),
            st.binary(min_size=1, max_size=6),
        ),
        st.builds(lambda genuine, at: genuine[: at % len(genuine)], st.sampled_from(GENUINE), st.integers(0, 1000)),
    )
)
def test_a_damaged_pickle_is_an_encoder_or_an_error(tmp_path, data):
    path = tmp_path / "le.pickle"
    path.write_bytes(data)
    try:
        assert sorted(livenessnet.read_labels(path)) == ["fake", "real"]
    except ModelError as error:
        assert "\n" not in str(error)


def test_a_pickle_cannot_ask_for_a_huge_memo(tmp_path):
    """OP_LONG_BINPUT 2 ** 29: the C unpickler makes, and fills, room for twice as many."""
    path = tmp_path / "le.pickle"
    path.write_bytes(b"\x80\2Nr\0\0\0\x20.")
    said, peak = memory_of(
        """
try: livenessnet.read_labels(sys.argv[1])
except livenessnet.ModelError as error: print(error)""",
        path,
    )
    assert "more memory" in said and peak < 100


@pytest.mark.parametrize(
    "doubled",
    [
        b"2\x86" * 24,  # DUP
        b"".join(b"q%ch%c\x86" % (n, n) for n in range(24)),  # by reference
    ],
)
def test_a_pickle_cannot_double_what_it_means_with_every_byte(tmp_path, doubled):
    """As the key of a dictionary, whose hash takes 2 ** 24 steps: a second; each more of them doubles that."""
    path = tmp_path / "le.pickle"
    path.write_bytes(b"\x80\2})" + doubled + b"Ns.")
    with pytest.raises(ModelError, match="more than it has room for"):
        livenessnet.read_labels(path)


def test_encoders_of_every_protocol_are_far_from_the_limits():
    import pickletools

    for data in genuine_inputs.genuine_encoders():
        names = [(operation.name, argument) for operation, argument, _ in pickletools.genops(data)]
        assert 2 * sum(name.endswith("GET") for name, _ in names) <= REFERENCE_LIMIT
        assert all(20 * argument < MEMO_LIMIT for name, argument in names if name.endswith("PUT"))
