"""The environment of a program whose connections to fal lead to an emulator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fal_async.emulator.defaults import OTHER_SETTINGS
from fal_async.emulator.serving.certificates import TRUST_VARIABLES, Certificates
from fal_async.emulator.wire.routing import FAL_DOMAINS, FAL_HOSTS

_HERE = Path(__file__).parent
REDIRECT = "FAL_EMULATOR_EXEC"
"""The variable that the parts in `python` and `node` read: the port, and fal's domains."""


def environment(
    before: Mapping[str, str],
    *,
    url: str,
    key: str,
    certificates: Certificates,
    folder: Path,
    proxy: str | None,
) -> dict[str, str]:
    """Return the variables of a program that is started by `emulator exec`.

    Args:
        before: the variables of this process.
        url: the address of the emulator, such as `https://127.0.0.1:8765`.
        key: the API key of the emulator's account. fal refuses it, so a call that reaches fal costs nothing.
        certificates: the files that the program trusts.
        folder: temporary folder for the files of curl and Node.
        proxy: URL of the proxy that leads fal's names to the emulator. None: none.
    """
    port = url.rpartition(":")[2]
    made = {name: value for name, value in before.items() if name not in OTHER_SETTINGS}
    made |= {"FAL_KEY": key, "FAL_BASE_URL": url, REDIRECT: " ".join((port, *FAL_DOMAINS))}
    made |= dict.fromkeys(TRUST_VARIABLES, str(certificates.bundle))
    made["NODE_EXTRA_CA_CERTS"] = str(_node_certificates(before, certificates, folder))
    made["PYTHONPATH"] = _first(str(_HERE / "python"), before.get("PYTHONPATH", ""), os.pathsep)
    made["NODE_OPTIONS"] = _first(
        f'--require "{_HERE / "node" / "redirect.cjs"}"', before.get("NODE_OPTIONS", ""), " "
    )
    made["CURL_HOME"] = str(_curl_home(before, folder, port))
    # Another proxy would resolve fal's names itself, and connect to fal.
    made |= dict.fromkeys(("NO_PROXY", "no_proxy"), _without_proxy(before, () if proxy else FAL_DOMAINS))
    if proxy is not None:
        made |= {"HTTPS_PROXY": proxy, "https_proxy": proxy}
    return made


def upstream_of(before: Mapping[str, str]) -> str | None:
    """Return the URL of the user's own proxy for https; None without one."""
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return next((before[name] for name in names if before.get(name)), None)


def _first(wanted: str, others: str, separator: str) -> str:
    """Put `wanted` before the others, and remove it from them: `emulator exec` may be nested."""
    rest = others.replace(wanted, "").strip(separator)
    return f"{wanted}{separator}{rest}" if rest else wanted


def _without_proxy(before: Mapping[str, str], domains: Sequence[str]) -> str:
    given = before.get("no_proxy") or before.get("NO_PROXY") or ""
    # Libraries differ in whether `fal.run` stands for the names below it as well.
    own = [name for domain in domains for name in (domain, f".{domain}")]
    parts = [part.strip() for part in given.split(",") if part.strip()]
    return ",".join(dict.fromkeys([*parts, "127.0.0.1", "localhost", *own]))


def _node_certificates(before: Mapping[str, str], certificates: Certificates, folder: Path) -> Path:
    """Return a file with the authority and with what the user lets Node trust; Node has its own list besides."""
    given = before.get("NODE_EXTRA_CA_CERTS")
    if not given or not Path(given).is_file():
        return certificates.authority
    path = folder / "node.pem"
    path.write_bytes(Path(given).read_bytes() + b"\n" + certificates.authority.read_bytes())
    return path


def _curl_home(before: Mapping[str, str], folder: Path, port: str) -> Path:
    """Write a `.curlrc` that redirects fal's names, and reads the user's own file."""
    home = before.get("CURL_HOME") or before.get("HOME") or ""
    own = Path(home) / ".curlrc"
    # The user's own file comes last: curl takes the first redirect, and that file may be one of an outer `exec`.
    lines = [f'connect-to = "{name}:443:127.0.0.1:{port}"' for name in sorted(FAL_HOSTS)]
    lines += [f'config = "{own}"'] if home and own.is_file() else []
    (folder / ".curlrc").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return folder
