"""What may not be shown: logins in URLs (`http://me:secret@host/v1`), and the keys that variables hold.

Names, traces, files, errors and logs say `http://host/v1`. Only what opens the connection reads the login.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from serm.core.text import each_text

_OF_DATABASE: Final = r"(?<!http)(?<!https)://([^:/\s]*:[^\s\"<>]*)@"
_OF_SERVER: Final = r"://([^/?#\s\"<>]*)@"
_LOGIN: Final = re.compile(f"{_OF_DATABASE}|{_OF_SERVER}")
"""What stands between `://` and the last @ in front of the path. SQLAlchemy takes a password with `/` in it
as it is, so of a database all up to the last @ goes."""
_KEYS: Final = re.compile(
    r"(?:API_?KEY|ACCESS_KEY|SECRET_KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?)$|BEARER_TOKEN",
    re.IGNORECASE,
)
"""Names of variables that hold what nobody may see."""
_SHORTEST: Final = 8  # characters of such a value that are looked for in a text; chosen


def without_login(text: str) -> str:
    """The text, the logins of all URLs in it left out."""
    return _LOGIN.sub("://", text)


def login_of(url: str) -> str:
    """The login of a URL as it stands there, `user:password`; "" where it has none."""
    found = _LOGIN.search(url)
    return (found.group(1) or found.group(2) or "") if found else ""


def without_logins(value: Any) -> Any:
    """The same for every text in maps and lists, as JSON has them."""
    return each_text(value, without_login)


def discreet(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What somebody else's error says, without logins and without keys: servers echo what they are sent."""
    shown = without_login(text)
    for name, value in environment.items():
        secret = value.strip()  # as it is sent: a file with Windows' line ends leaves a "\r"
        if _KEYS.search(name) and len(secret) >= _SHORTEST:
            shown = shown.replace(secret, "***")
    return shown
