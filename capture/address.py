"""Addresses of streams: what of them may be shown."""


def without_password(address: str) -> str:
    """rtsp://user:secret@host/path -> rtsp://host/path: names end up in logs."""
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
