"""Settings that the fuzzer found to trip up the parser."""

import pytest

import alerts


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 3000,
        b"[email]\nport = " + b"9" * 5000,
        b'[email]\nhost = "h"\nsender = "a@b"\nrecipient = "a@b"\nca_file = "~nobody-knows/x"',
        b'[email]\nhost = "h"\nsender = "a@b"\nrecipient = "a@b"\nca_file = "' + b"x" * 5000 + b'"',
        b'[lock]\ncommand = ["a\\u0000b"]',
        b"#" * 70000,
        b"\xff\xfe[\0",
        b"[alarm]\nseconds = nan",
        b'"\\ud800" = 1',
    ],
)
def test_settings_that_trip_up_the_parser_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "alerts.toml"
    path.write_bytes(content)
    with pytest.raises(alerts.SettingsError) as error:
        alerts.load_settings(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_settings_saved_by_windows_notepad_are_read(tmp_path):
    path = tmp_path / "alerts.toml"
    path.write_bytes(b"\xef\xbb\xbf[incidents]\r\ncooldown_s = 5\r\n")
    assert alerts.load_settings(path).incidents.cooldown_s == 5
