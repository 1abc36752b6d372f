"""alerts.toml: what is read, and what is refused in one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import alerts

ROOT = Path(alerts.__file__).parent


def test_example_documents_every_setting_with_its_default():
    import tomllib

    path = ROOT / "alerts.example.toml"
    content = tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", path.read_text("utf-8")))
    defaults = {name: set(vars(section)) for name, section in vars(alerts.Settings()).items()}
    assert {name: set(section) for name, section in content.items()} == defaults
    loaded = alerts.load_settings(path)
    assert loaded.email.host == "smtp.example.com"
    for name in ("location", "voice", "alarm", "lock", "incidents"):
        assert getattr(loaded, name) == getattr(alerts.Settings(), name)


def test_no_file_gives_the_defaults():
    assert alerts.load_settings(None) == alerts.Settings()
    assert not alerts.load_settings(None).email.host


GOOD_EMAIL = '[email]\nhost = "smtp.example.com"\nsender = "a@b.c"\nrecipient = "a@b.c"\n'


@pytest.mark.parametrize(
    "text, told",
    [
        ("[mail]\n", r"unknown section 'mail'; did you mean 'email'\?"),
        ("cooldown = 3\n", "unknown key 'cooldown'"),
        ("email = 3\n", r"write \[email\]"),
        ("[alarm]\nenable = true\n", r"unknown key 'enable' in \[alarm\]; did you mean 'enabled'\?"),
        ("[voice]\nenabled = 1\n", r"enabled in \[voice\] must be true or false"),
        ('[lock]\ncommand = "swaylock"\n', r"command in \[lock\] must be a list of texts"),
        ('[lock]\ncommand = ["swaylock", 1]\n', "must be a list of texts"),
        ('[email]\nport = "465"\n', "port .* must be a whole number"),
        (GOOD_EMAIL + "port = 70000\n", "port .* from 1 to 65535"),
        (GOOD_EMAIL + 'security = "both"\n', '"tls" or "starttls"'),
        ('[email]\nsender = "a@b.c"\n', "host in .email. is missing"),
        ('[email]\nhost = "smtp.example.com"\nsender = "a@b.c"\n', "recipient .* one mail address"),
        ('[email]\nhost = "h"\nsender = "a@b.c"\nrecipient = "a@b.c\\r\\nBcc: d@e.f"\n', "recipient"),
        ('[email]\nhost = "https://smtp.example.com"\n', "plain host name"),
        (GOOD_EMAIL.replace("example.com", "example.com:465"), "plain host name without port"),
        (GOOD_EMAIL.replace("example.com", "."), "plain host name"),
        (GOOD_EMAIL.replace("example.com", "x" * 300), "plain host name"),
        *(
            (f'[email]\nhost = "h"\nsender = "a@b.c"\nrecipient = "{several}"\n', "one mail address")
            for several in (
                "a@b.c;d@e.f",
                "a@b.c; d@e.f",
                "a@b.c, d@e.f",
                "a@b.c,d@e.f",
                "a@b.c.",
                "A <a@b.c>; <d@e.f>",
            )
        ),
        (GOOD_EMAIL + 'ca_file = "nowhere.pem"\n', "there is no file .*nowhere.pem"),
        ('[location]\nurl = "ftp://x/y"\n', "must begin with https://"),
        ("[location]\ntimeout_s = -1\n", "timeout_s .* from 0.1"),
        ("[incidents]\ncooldown_s = nan\n", "cooldown_s .* from 0 to 86400"),
        ("[incidents]\ncooldown_s = inf\n", "cooldown_s .* from 0 to 86400"),
        ("[email]\nport = true\n", "port .* must be a whole number"),
        ("[email]\nport = 0.5\n", "port .* must be a whole number"),
        ("[email]\nport = 99999999999999999999999999\n", "port "),
        ("[location]\ntimeout_s = true\n", "timeout_s .* must be a number"),
        ("[location]\ntimeout_s = 1979-05-27\n", "timeout_s .* must be a number"),
        ('[lock]\ncommand = ["a\\u0000b"]\n', r"command in \[lock\] must not contain a NUL"),
        ('[lock]\ncommand = ["", "x"]\n', r"command in \[lock\] must begin with a program's name"),
        ('[alarm]\ndevice = "a\\u0000b"\n', r"device in \[alarm\] must not contain a NUL"),
        (
            '[alarm]\n"x - at `$.y" = 1\n',
            r"unknown key 'x - at `\$.y' in \[alarm\]; there are: enabled, device, seconds",
        ),
        ('"a\\nb - at `$.y" = 1\n', r"unknown key 'a b - at `\$.y'"),
        ("[[voice]]\nenabled = true\n", r"voice must be a section: write \[voice\]"),
        (GOOD_EMAIL + 'username = ["me"]\n', r"username in \[email\] must be a text in quotes"),
        ("[email\n", "not valid TOML.*line 1"),
    ],
)
def test_wrong_settings_are_refused_with_file_and_key(tmp_path, text, told):
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    with pytest.raises(alerts.SettingsError, match=told) as caught:
        alerts.load_settings(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunter2"',
        'smtp_password = "hunter2"',
        '[email]\npassword = "hunter2"',
        '[email]\nPASSWD = "hunter2"',
    ],
)
def test_password_in_the_file_is_refused_without_being_repeated(tmp_path, line):
    path = tmp_path / "alerts.toml"
    path.write_text(line)
    with pytest.raises(alerts.SettingsError, match="keyring set .*LIVENESS_SMTP_PASSWORD") as caught:
        alerts.load_settings(path)
    assert "hunter2" not in str(caught.value)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(alerts.SettingsError, match="cannot be read"):
        alerts.load_settings(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'[alarm]\ndevice = "Lautsprecher \xfc"\n')
    with pytest.raises(alerts.SettingsError, match="UTF-8"):
        alerts.load_settings(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    "text, section, key, value",
    [
        ("[location]\ntimeout_s = 3", "location", "timeout_s", 3.0),
        ("[alarm]\nseconds = 0.25", "alarm", "seconds", 0.25),
        ('[lock]\ncommand = ["a", "ü\\n"]', "lock", "command", ["a", "ü\n"]),
        (GOOD_EMAIL + "port = 65535", "email", "port", 65535),
    ],
)
def test_values_keep_their_type(tmp_path, text, section, key, value):
    path = tmp_path / "alerts.toml"
    path.write_text(text, "utf-8")
    settings = alerts.load_settings(path)
    read = getattr(getattr(settings, section), key)
    assert read == value and type(read) is type(value)
    assert type(settings) is alerts.Settings


def test_a_start_without_a_file_imports_no_decoder():
    code = (
        "import sys, alerts; alerts.Alerts(alerts.load_settings(None), voice=False).close(0)\n"
        "print(*(name for name in ('msgspec', 'tomllib', 'subprocess', 'requests', 'smtplib', 'keyring', 'email')"
        " if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "\n", done.stderr
