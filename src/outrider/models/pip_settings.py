"""What the machine's owner has told pip and uv about reaching a package index."""

from __future__ import annotations

import configparser
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

DEFAULT_INDEX = "https://pypi.org/simple"


def index_urls() -> list[str]:
    """The package indexes to ask, in order: the main one, then the extra ones.

    Read from PIP_INDEX_URL, UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_EXTRA_INDEX_URL, UV_INDEX and
    UV_EXTRA_INDEX_URL, then from `index-url` and `extra-index-url` of pip's configuration.
    """
    settings = _configuration()
    main = _first_set("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    extra = _first_set("PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
    urls = [
        main or settings.get("index-url") or DEFAULT_INDEX,
        *(extra or settings.get("extra-index-url", "")).split(),
    ]
    # uv lets an index have a name: name=url.
    bare = (re.sub(r"^[\w-]+=(?=\w+://)", "", url.strip()).rstrip("/") for url in urls)
    return list(dict.fromkeys(bare))


def certificates() -> str | None:
    """The file or directory of trusted certificates, where one is named.

    Read from SSL_CERT_FILE, PIP_CERT, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, then from `cert` of
    pip's configuration.
    """
    named = _first_set("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return named or _configuration().get("cert") or None


def _first_set(*variables: str) -> str:
    return next((value for name in variables if (value := os.environ.get(name, "").strip())), "")


def _configuration() -> dict[str, str]:
    """The [global] section of pip's configuration files; later files win."""
    own = os.environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:  # pip's way of saying: none
        return {}
    home = Path.home()
    system = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    files = [
        *(Path(directory, "pip", "pip.conf") for directory in reversed(system.split(":"))),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf"),
        Path(sys.prefix, "pip.conf"),
        *([Path(own)] if own else []),
    ]
    parser = configparser.RawConfigParser(strict=False)
    for file in files:
        # A file that pip itself could not read is no reason not to fetch a model.
        with suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read_string(file.read_text(encoding="utf-8"), str(file))
    if not parser.has_section("global"):
        return {}
    return {key.lower().replace("_", "-"): value for key, value in parser.items("global")}
