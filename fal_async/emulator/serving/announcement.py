"""What the emulator prints when it has started: its address, and what to copy for each client."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from fal_async.emulator.server import Emulator
from fal_async.emulator.serving.certificates import Certificates

_BOLD, _DIM, _GREEN, _PLAIN = "\033[1m", "\033[2m", "\033[32m", "\033[0m"


def announcement(emulator: Emulator, certificates: Certificates | None, *, colours: bool = False) -> str:
    """Return the lines for a person.

    Args:
        emulator: the started emulator.
        certificates: the files that its clients must trust. None: it serves http.
        colours: whether the lines have colours, for a terminal; default False.
    """
    bold, dim, green, plain = (_BOLD, _DIM, _GREEN, _PLAIN) if colours else ("",) * 4
    keys = f"key {emulator.key}, admin key {emulator.admin_key}"
    lines = [f"{bold}fal emulator at {green}{address(emulator)}{plain} ({keys}); Ctrl-C stops it"]
    for client, snippet in snippets(emulator, certificates).items():
        lines += ["", f"{dim}# {client}{plain}", snippet]
    return "\n".join([*lines, "", f"{dim}# in a browser{plain}", f"{address(emulator)}/", ""])


def address(emulator: Emulator) -> str:
    """Return the URL for clients on this machine, also if the emulator listens on all addresses."""
    return emulator.url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def document(emulator: Emulator, certificates: Certificates | None) -> str:
    """Return one line of JSON, for programs."""
    where = {"url": emulator.url, "key": emulator.key, "admin_key": emulator.admin_key}
    if certificates is not None:
        where |= {"ca": str(certificates.authority), "bundle": str(certificates.bundle)}
    return json.dumps(where) + "\n"


def snippets(emulator: Emulator, certificates: Certificates | None) -> Mapping[str, str]:
    """Return what to copy, by client."""
    url, key = address(emulator), emulator.key
    trust = {} if certificates is None else {"SSL_CERT_FILE": str(certificates.bundle)}
    ours = {"FAL_BASE_URL": url, "FAL_KEY": key, **trust}
    javascript = (
        f'fal.config({{ credentials: "{key}", requestMiddleware: async (r) => ({{\n'
        f'  ...r, url: r.url.replace("https://", "{url}/") }}) }});'
    )
    ca = "" if certificates is None else shlex.quote(str(certificates.authority))
    call = f"{url}/fal.run/fal-ai/any-llm -H 'Authorization: Key {key}' -d '{{\"prompt\": \"hi\"}}'"
    return {
        "fal_async, and fal-async in a shell": _exports(ours),
        "fal-client (Python)": _for_fal_client(url, key, trust),
        "@fal-ai/client (JavaScript)" + (f", with NODE_EXTRA_CA_CERTS={ca}" if ca else ""): javascript,
        "curl": f"curl {'--cacert ' + ca + ' ' if ca else ''}{call}",
    }


def _for_fal_client(url: str, key: str, trust: Mapping[str, str]) -> str:
    if not trust:
        # It calls fal by https only. Started so, it needs no setting, and uploads files as well.
        return "fal-async emulator exec -- python your_program.py    # or start this emulator with --tls"
    place = url.removeprefix("https://")
    hosts = {"FAL_RUN_HOST": place, "FAL_QUEUE_RUN_HOST": f"{place}/queue.fal.run"}
    return _exports({**hosts, **trust, "FAL_KEY": key})


def _exports(variables: Mapping[str, str]) -> str:
    return "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
