"""The mail that reports an incident to the owner: what it says, as plain text and as a page with the picture."""

from datetime import UTC, datetime
from html import escape as e
from typing import TYPE_CHECKING

from alerting.incident import REPLAY, STRANGER
from alerting.printable import clean

if TYPE_CHECKING:
    from email.message import EmailMessage

# A larger picture stands in the page alone: many servers take no mail of more than 10 MB.
ATTACHED_BYTES = 3 * 2**20
LATE_S = 300  # a mail that leaves later than this after its incident says so

LOCK_WORDS = {
    "confirmed": "The workstation was locked",
    "accepted": "The system accepted the request to lock the workstation",
    "unconfirmed": "LOCK NOT CONFIRMED: the workstation was asked to lock and may still be open",
    "failed": "LOCK FAILED: the workstation is open",
    "off": "Locking is switched off",
    "test": "Nothing was locked, this is a test",
}
SOUND_WORDS = {
    "voice": {
        "done": "A spoken warning was given",
        "queued": "A spoken warning was queued",
        "failed": "The spoken warning was not heard",
    },
    "alarm": {"done": "The alarm was sounded", "queued": "The alarm was queued", "failed": "The alarm was not heard"},
}


def compose(record: dict, jpeg: bytes, sender: str, recipient: str, test: bool = False) -> "EmailMessage":
    """The mail about an incident: plain text, HTML with the picture in it, and the picture attached unless it is large.

    The Message-ID is the incident's own, so a copy sent twice can be told by any server or mail program.
    `record` may be one that somebody has edited: what cannot be printed is left out; what is missing or of another
    kind raises LookupError, TypeError or ValueError. `jpeg` may be empty.
    """
    from email.message import EmailMessage
    from email.utils import format_datetime

    record = _printable(record)
    message = EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = ("TEST: " if test else "") + f"{_title(record)} at {record['host']}"
    message["Date"] = format_datetime(datetime.now().astimezone())
    message["Message-ID"] = record["message_id"]
    if not test:
        message["Importance"] = "high"
    facts = _facts(record)
    message.set_content(_plain_text(record, facts, test))
    message.add_alternative(_html(record, facts, bool(jpeg), test), subtype="html")
    if jpeg:
        message.get_payload()[1].add_related(
            jpeg, "image", "jpeg", cid="<snapshot>", disposition="inline", filename="snapshot.jpg"
        )
    if jpeg and len(jpeg) <= ATTACHED_BYTES:
        message.add_attachment(jpeg, "image", "jpeg", filename=f"{record['id']}.jpg")
    return message


def _title(record: dict) -> str:
    return "A live stranger" if record["reason"] == STRANGER else "Unauthorized face"


def _printable(value):
    """The record with all its texts clean: half a surrogate pair would make a mail that cannot be sent."""
    if isinstance(value, dict):
        return {key: _printable(part) for key, part in value.items()}
    return clean(value, 200) if isinstance(value, str) else value


def _facts(record: dict) -> dict[str, str]:
    """What the mail's table says, in order, as plain text."""
    local = datetime.fromisoformat(record["time_local"])
    utc = datetime.fromisoformat(record["time_utc"])
    location = record["location"]
    facts = {
        "Local time": f"{local:%a} {local.day} {local:%B %Y, %H:%M:%S} {record['timezone']} "
        f"(UTC{local.isoformat()[-6:]})",
        "UTC": f"{utc:%Y-%m-%d %H:%M:%S}",
        "Computer": record["host"],
        "User": record["user"],
        "Source": record["source"],
        "Local IP": record["address"]["local"],
        "Public IP": record["address"]["public"] or "unknown",
    }
    if "unknown" in location:
        facts["Location"] = f"unknown ({location['unknown']})"
        return facts
    facts["City"] = location["city"] or "unknown"
    facts["Region"] = location["region"] or "unknown"
    facts["Country"] = location["country"] or "unknown"
    if location["latitude"] is not None:
        facts["Latitude, longitude"] = f"{location['latitude']:.4f}, {location['longitude']:.4f}"
    return facts


def _map_link(location: dict) -> str:
    if location.get("latitude") is None:
        return ""
    latitude, longitude = f"{location['latitude']:.4f}", f"{location['longitude']:.4f}"
    return f"https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}#map=12/{latitude}/{longitude}"


def _deeds(record: dict) -> list[tuple[bool, str]]:
    """What was done, each with whether it went well."""
    lock = record["actions"]["lock"]
    detail = lock.get("reason") or lock.get("how")
    deeds = [
        (
            lock["state"] in ("confirmed", "accepted", "test"),
            LOCK_WORDS.get(lock["state"], lock["state"]) + (f" ({detail})" if detail else ""),
        )
    ]
    for action, words in SOUND_WORDS.items():
        state = record["actions"][action]
        if state["state"] in words:
            reason = f" ({state['reason']})" if state.get("reason") else ""
            deeds.append((state["state"] != "failed", words[state["state"]] + reason))
    return deeds


def _lateness(record: dict) -> str:
    late_s = (datetime.now(UTC) - datetime.fromisoformat(record["time_utc"])).total_seconds()
    if late_s < LATE_S:
        return ""
    hours, minutes = divmod(round(late_s / 60), 60)
    late = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"This mail left {late} after the incident: it could not be sent sooner."


def _plain_text(record: dict, facts: dict[str, str], test: bool) -> str:
    width = max(map(len, facts)) + 2
    if test:
        lines = ["This is a test. No face was seen."]
    elif record["reason"] == STRANGER:
        lines = [f"A live stranger was seen at {record['host']}: not the owner."]
    else:
        lines = [f"An unauthorized face was seen at {record['host']}: it {record['reason']}."]
    refused = "; refused below 0.50" if record["reason"] == REPLAY else ""
    lines += [f"Score {record['score']:.2f} (0: photo or replay, 1: live person{refused}).", ""]
    lines += [f"{name + ':':{width}}{text}" for name, text in facts.items()]
    if _map_link(record["location"]):
        lines.append(f"{'Map:':{width}}{_map_link(record['location'])}")
    lines += ["", "What was done:"] + [f"  {'-' if well else '!'} {text}" for well, text in _deeds(record)]
    lines += ["", f"Incident {record['id']}"]
    if _lateness(record):
        lines += ["", _lateness(record)]
    return "\n".join(lines) + "\n"


# Mail programs ignore style sheets: tables, and styles on the elements themselves.
_SANS = "font-family:-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"


def _html(record: dict, facts: dict[str, str], picture: bool, test: bool) -> str:
    colour = "#1f5fa8" if test else "#b3261e"
    title = "Test of the alerts" if test else _title(record)
    local = datetime.fromisoformat(record["time_local"])
    image = (
        '<tr><td style="padding:0;line-height:0"><img src="cid:snapshot" alt="Snapshot of the face" '
        'width="600" style="display:block;width:100%;height:auto;border:0"></td></tr>'
        if picture
        else ""
    )
    notes = _note_rows("This is a test. No face was seen." if test else "", _lateness(record))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light"><title>{title}</title></head>
<body style="margin:0;padding:0;background:#eef0f3">
<div style="display:none;max-height:0;overflow:hidden">{e(_deeds(record)[0][1])}.</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:#eef0f3">
<tr><td align="center" style="padding:16px 10px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"
 style="max-width:600px;background:#ffffff;border-radius:14px;overflow:hidden;border-collapse:separate">
<tr><td style="{_SANS}padding:20px 24px;background:{colour};color:#ffffff">
<div style="font-size:24px;line-height:30px;font-weight:700">{title}</div>
<div style="padding-top:4px;font-size:16px;line-height:22px">{e(record["host"])} &middot; \
{local.day} {local:%B}, {local:%H:%M} {e(record["timezone"])}</div></td></tr>
{notes}{image}
{_score_row(record, colour)}
<tr><td style="{_SANS}padding:18px 24px 6px;\
font-size:17px;font-weight:700;color:#1b1f24">What was done</td></tr>
<tr><td style="padding:0 24px 8px"><table role="presentation" width="100%" cellpadding="0" \
cellspacing="0">{_deed_rows(record)}</table></td></tr>
<tr><td style="{_SANS}padding:18px 24px 8px;\
font-size:17px;font-weight:700;color:#1b1f24">When and where</td></tr>
<tr><td style="padding:0 24px 18px"><table role="presentation" width="100%" cellpadding="0" \
cellspacing="0">{_fact_rows(facts)}</table></td></tr>
{_map_button(record["location"])}
<tr><td style="{_SANS}padding:16px 24px;background:#f7f8fa;color:#68717d;font-size:12px;line-height:18px">
Sent by Liveness Authentication on {e(record["host"])}. The folder of incident {e(record["id"])} on that \
computer holds the frames behind this verdict.</td></tr>
</table></td></tr></table></body></html>
"""


def _note_rows(*notes: str) -> str:
    return "".join(
        f'<tr><td style="{_SANS}padding:14px 24px;background:#fff4d6;color:#5c4300;'
        f'font-size:15px;line-height:21px">{e(note)}</td></tr>'
        for note in notes
        if note
    )


def _score_row(record: dict, colour: str) -> str:
    """The score and, below it, a bar between photo and live person."""
    judged = {REPLAY: "refused below 0.50", STRANGER: "but not the owner"}.get(
        record["reason"], f"but it {record['reason']}"
    )
    share = min(97, max(3, round(100 * record["score"])))
    return f"""<tr><td style="{_SANS}padding:20px 24px 6px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr>
<td style="{_SANS}font-size:15px;color:#1b1f24;font-weight:600">Liveness score {record["score"]:.2f}</td>
<td align="right" style="{_SANS}font-size:13px;color:#68717d">{e(judged)}</td></tr></table>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="margin-top:8px;\
background:#e7eaee;border-radius:5px"><tr><td width="{share}%" style="height:10px;line-height:10px;\
font-size:1px;background:{colour};border-radius:5px">&nbsp;</td><td style="font-size:1px">&nbsp;</td></tr>
</table>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr>
<td style="{_SANS}padding-top:5px;font-size:12px;color:#68717d">photo or replay</td>
<td align="right" style="{_SANS}padding-top:5px;font-size:12px;color:#68717d">live person</td></tr></table>
</td></tr>"""


def _deed_rows(record: dict) -> str:
    return "".join(
        f'<tr><td width="30" style="padding:6px 0;vertical-align:top"><div style="{_SANS}width:20px;'
        f"height:20px;border-radius:10px;background:{'#1a7f37' if well else '#b3261e'};color:#ffffff;"
        f'font-size:13px;line-height:20px;text-align:center;font-weight:700">'
        f'{"&#10003;" if well else "!"}</div></td><td style="{_SANS}padding:6px 0;color:'
        f"{'#1b1f24' if well else '#b3261e'};font-size:15px;line-height:20px;"
        f'font-weight:{"400" if well else "600"};word-break:break-word">{e(text)}</td></tr>'
        for well, text in _deeds(record)
    )


def _fact_rows(facts: dict[str, str]) -> str:
    return "".join(
        f'<tr><td style="{_SANS}padding:9px 14px 9px 0;border-top:1px solid #e7eaee;color:#68717d;'
        f'font-size:14px;line-height:20px;vertical-align:top;white-space:nowrap">{e(name)}</td>'
        f'<td style="{_SANS}padding:9px 0;border-top:1px solid #e7eaee;color:#1b1f24;font-size:15px;'
        f'line-height:20px;vertical-align:top;word-break:break-word">{e(text)}</td></tr>'
        for name, text in facts.items()
    )


def _map_button(location: dict) -> str:
    link = _map_link(location)
    return (
        f'<tr><td style="padding:4px 24px 22px"><a href="{e(link)}" style="{_SANS}display:block;'
        f"padding:13px 0;border-radius:10px;background:#1b1f24;color:#ffffff;font-size:16px;"
        f'font-weight:600;text-align:center;text-decoration:none">Show on the map</a>'
        f'<div style="{_SANS}padding-top:8px;color:#68717d;font-size:12px;line-height:17px">'
        f"Where the internet address is registered: right to the city at best.</div></td></tr>"
        if link
        else ""
    )
