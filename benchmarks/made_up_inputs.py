"""Strategies that make up inputs out of the pieces that their format is made of: pickles and settings."""

from damaged_inputs import damaged
from hypothesis import strategies as st

ADMITTED = [
    b"csklearn.preprocessing._label\nLabelEncoder\n",
    b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n",
    b"cnumpy._core.multiarray\n_reconstruct\n",
    b"cnumpy._core.numeric\n_frombuffer\n",
    b"c_codecs\nencode\n",
    b"ccopy_reg\n_reconstructor\n",
    b"c__builtin__\nobject\n",
]
EVIL = [b"cos\nmkdir\n", b"cbuiltins\neval\n", b"clivenessnet\nos.mkdir\n", b"cnumpy\nf2py.os.mkdir\n"]
VALUES = [
    b"N",
    b"\x88",
    b"I4\n",
    b"\x8a\x04\xff\xff\xff\x7f",
    b"Vfake\n",
    b"X\x04\0\0\0real",
    b"C\x04f\0\0\0",
    b"Vclasses_\n",
    b"VU4\n",
    b"VU\n",
    b"VU0\n",
    b"VU999999999\n",
    b"Vlatin1\n",
    b"V<\n",
    b"(",
    b")",
    b"]",
    b"}",
    b"\x8f",
]
WORK = [
    b"R",
    b"b",
    b"\x81",
    b"\x92",
    b"t",
    b"\x85",
    b"\x86",
    b"\x87",
    b"l",
    b"d",
    b"s",
    b"u",
    b"a",
    b"e",
    b"0",
    b"1",
    b"2",
    b"o",
    b"\x93",
    b"\x90",
    b"\x91",
    b"\x94",
    b"q\0",
    b"h\0",
    b"j\0\0\0\0",
    b"p0\n",
    b"g0\n",
    b"r\xff\xff\xff\x3f",
    b"B\xff\xff\xff\x7f",
    b"\x96\xff\xff\xff\xff\xff\xff\0\0",
    b"\x8e\xff\xff\xff\xff\xff\xff\0\0",
    b"\x97",
    b"\x98",
    b"\x82\1",
    b"Pname\n",
    b"Q",
    b"imodule\nname\n",
    b"\x95\xff\xff\xff\xff\0\0\0\0",
    b"2\x86",
    b"h\0\x86q\0",
]
PIECES = [*ADMITTED, *ADMITTED, *EVIL, *VALUES, *VALUES, *WORK]

TOML_KEYS = (
    "email location voice alarm lock incidents host port security username sender recipient ca_file timeout_s url "
    "enabled device seconds command cooldown_s password"
).split()
TOML_VALUES = [
    "true",
    "1",
    "-1",
    "0x7fffffffffffffffff",
    "9" * 5000,
    "1e999",
    "nan",
    "-inf",
    '""',
    '"x"',
    "[]",
    '["a"]',
    '[""]',
    "[" * 2000 + "]" * 2000,
    "[" * 2000,
    "{}",
    "{a=" * 600,
    "1979-05-27T07:32:00Z",
    '"smtp.example.com"',
    '"~nobody/x"',
    '"\\u0000"',
    '"a\\u0000b"',
    '["a\\u0000b"]',
    '"\\u001b[2J"',
    '"me@example.com"',
    "465",
    "70000",
    "'''a\nb'''",
    '"http://["',
    '"https://x/"',
    '"' + "a" * 3000 + '"',
    '"\\ud800"',
    '["x", 1]',
    "[[1]]",
    '"."',
    '"/"',
    "0.5",
    "60",
]


def pickles(genuine: list[bytes]) -> st.SearchStrategy[bytes]:
    made = st.lists(st.sampled_from(PIECES), max_size=60).map(lambda pieces: b"".join(pieces) + b".")
    return st.one_of(damaged(genuine), damaged(genuine, 2), made, st.binary(max_size=200))


@st.composite
def toml(draw) -> bytes:
    name = st.one_of(
        st.sampled_from(TOML_KEYS),
        st.sampled_from(TOML_KEYS),
        st.text(max_size=5),
        st.just("a." * 500 + "a"),
        st.just('"' + "k" * 2000 + '"'),
    )
    line = st.one_of(
        st.builds("{} = {}".format, name, st.sampled_from(TOML_VALUES)),
        name.map("[{}]".format),
        name.map("[[{}]]".format),
        st.builds("{}.{} = {}".format, name, name, st.sampled_from(TOML_VALUES)),
    )
    return "\n".join(draw(st.lists(line, max_size=8))).encode("utf-8", "replace")
