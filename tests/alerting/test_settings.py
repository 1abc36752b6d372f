"""alerts.toml: what is read, and what is refused in one line."""

import re
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


@pytest.mark.parametrize("text, told", [
    ("[mail]\n", r"unknown section 'mail'; did you mean 'email'\?"),
    ("cooldown = 3\n", "unknown key 'cooldown'"),
    ("email = 3\n", r"write \[email\]"),
    ("[alarm]\nenable = true\n", r"unknown key 'enable' in \[alarm\]; did you mean 'enabled'\?"),
    ("[voice]\nenabled = 1\n", r"enabled in \[voice\] must be true or false"),
    ("[lock]\ncommand = \"swaylock\"\n", r"command in \[lock\] must be a list of texts"),
    ("[lock]\ncommand = [\"swaylock\", 1]\n", "must be a list of texts"),
    ("[email]\nport = \"465\"\n", "port .* must be a whole number"),
    (GOOD_EMAIL + "port = 70000\n", "port .* from 1 to 65535"),
    (GOOD_EMAIL + 'security = "both"\n', '"tls" or "starttls"'),
    ('[email]\nsender = "a@b.c"\n', "host in .email. is missing"),
    ('[email]\nhost = "smtp.example.com"\nsender = "a@b.c"\n', "recipient .* one mail address"),
    ('[email]\nhost = "h"\nsender = "a@b.c"\nrecipient = "a@b.c\\r\\nBcc: d@e.f"\n', "recipient"),
    ('[email]\nhost = "https://smtp.example.com"\n', "plain host name"),
    (GOOD_EMAIL + 'ca_file = "nowhere.pem"\n', "there is no file .*nowhere.pem"),
    ('[location]\nurl = "ftp://x/y"\n', "must begin with https://"),
    ("[location]\ntimeout_s = -1\n", "timeout_s .* from 0.1"),
    ("[incidents]\ncooldown_s = nan\n", "cooldown_s"),
    ("[email\n", "not valid TOML.*line 1"),
])
def test_wrong_settings_are_refused_with_file_and_key(tmp_path, text, told):
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    with pytest.raises(alerts.SettingsError, match=told) as caught:
        alerts.load_settings(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ['password = "hunter2"', 'smtp_password = "hunter2"',
                                  '[email]\npassword = "hunter2"', '[email]\nPASSWD = "hunter2"'])
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
