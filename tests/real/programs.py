"""The programs that run unmodified against the emulator, and the versions of all that is installed for them."""

from __future__ import annotations

import attrs

CHAPTER = "fal_async/emulator/CLIENTS.md"
NODE = "node"
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "python": {
        "fal-client": "1.0.3",
        "falaw": "0.0.79",
        "genvoy": "0.1.0",
        "huggingface_hub": "2.4.0",
        "litellm": "1.110.2",
        "livekit-plugins-fal": "1.8.9",
        "msgpack": "1.2.4",
        "pillow": "13.0.0",
        "pipecat-ai": "1.14.0",
    },
    # These need older versions of fal-client and mcp.
    "python-older": {
        "fal-client": "0.14.1",
        "fal-mcp-server": "1.18.0",
        "llm": "0.36",
        "llm-fal": "0.1.0",
        "mcp": "1.30.0",
    },
    "python-fal": {"fal": "1.83.0", "uvicorn": "0.54.0", "websockets": "17.4"},
    # Applications that are mounted in the process of the emulator, which needs aiohttp and attrs.
    "python-mounted": {
        "a2wsgi": "1.10.10",
        "aiohttp": "3.14.5",
        "attrs": "26.1.0",
        "fal": "1.83.0",
        "flask": "3.1.3",
        "litestar": "2.25.0",
        "quart": "0.22.0",
        "uvicorn": "0.54.0",
        "websockets": "17.4",
    },
    # What resolves names or connects in other ways than Python's `socket`.
    "python-http": {
        "aiodns": "4.0.4",
        "aiohttp": "3.14.5",
        "gevent": "26.9.0",
        "httpx": "0.28.1",
        "requests": "2.34.2",
        "trio": "0.35.0",
        "uvloop": "0.23.0",
        "websockets": "17.4",
    },
    NODE: {
        "@ai-sdk/fal": "3.0.41",
        "@fal-ai/client": "1.10.1",
        "@fal-ai/server-proxy": "1.2.1",
        "@fal-ai/serverless-client": "0.15.0",
        "@huggingface/inference": "4.13.30",
        "@modelcontextprotocol/sdk": "1.32.2",
        "@tanstack/ai": "0.58.0",
        "@tanstack/ai-fal": "0.10.1",
        "ai": "7.0.173",
        "axe-core": "4.14.1",
        "esbuild": "0.28.2",
        "express": "5.3.0",
        "fal-ai-mcp-server": "2.1.4",
        "hono": "4.13.19",
        "ws": "8.23.0",
    },
}
"""Packages and versions by environment, which is a folder with its own interpreter, or with `node_modules`."""


@attrs.frozen
class Program:
    """A program that someone else wrote.

    Attributes:
        name: its package on PyPI or npm.
        environment: a key of `ENVIRONMENTS`.
        does: what its script does with it, for people.
        runs: the scripts of `scripts/python` or `scripts/node`, each with its arguments.
    """

    name: str
    environment: str
    does: str
    runs: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> str:
        """The version that is installed."""
        return ENVIRONMENTS[self.environment][self.name]

    @property
    def registry(self) -> str:
        """Where it is from."""
        return "npm" if self.environment == NODE else "PyPI"


PROGRAMS = (
    Program(
        "fal-client",
        "python",
        "run, submit, status, result, cancel, subscribe with logs, stream, realtime, uploads by both routes and in "
        "parts, lifetime and ACL; synchronous and asynchronous. 429, gateway pages, broken connections, a restart",
        (("fal_client_range.py",), ("fal_client_faults.py",)),
    ),
    Program(
        "@fal-ai/client",
        NODE,
        "the same range, the status by polls and by streams; the same failures; in Chromium on a page of another "
        "origin: subscribe, upload, stream, realtime",
        (("fal_client_range.mjs",), ("fal_client_faults.mjs",)),
    ),
    Program(
        "@fal-ai/serverless-client",
        NODE,
        "fal's older JavaScript client: its whole range, and uploads without a storage type",
        (("serverless_client.mjs",),),
    ),
    Program(
        "@fal-ai/server-proxy",
        NODE,
        "fal's proxy in Express and Hono, with a client that has no key: subscribe, run, stream, upload; refusals",
        (("server_proxy.mjs",),),
    ),
    Program(
        "fal",
        "python-fal",
        "fal's command line tool and library: `fal api` with a queue and a stream, `fal queue`, `fal auth whoami`, "
        "`fal.apps` with run, submit and WebSocket",
        (("fal_tool.py",),),
    ),
    Program(
        "huggingface_hub",
        "python",
        "`InferenceClient` with provider fal-ai: text to image, speech and video, speech to text, image to image "
        "and video, image segmentation",
        (("huggingface.py",),),
    ),
    Program(
        "@huggingface/inference",
        NODE,
        "the same in JavaScript, without segmentation",
        (("huggingface.mjs",),),
    ),
    Program(
        "@ai-sdk/fal",
        NODE,
        "Vercel's AI SDK: pictures, edits, speech, transcripts with segments, video, a refused input",
        (("vercel_ai.mjs",),),
    ),
    Program(
        "@tanstack/ai-fal",
        NODE,
        "TanStack AI: pictures with the units billed, video jobs, speech, transcripts, sounds",
        (("tanstack_ai.mjs",),),
    ),
    Program(
        "litellm",
        "python",
        "pictures of eleven models, also asynchronously; an edit; video with status and content; a refused input",
        (("litellm_calls.py",),),
    ),
    Program(
        "livekit-plugins-fal",
        "python",
        "speech to text of audio frames, as an agent calls it",
        (("livekit_speech.py",),),
    ),
    Program(
        "pipecat-ai",
        "python",
        "a picture for a prompt, a transcript of speech, a wrong key as an error frame",
        (("pipecat_services.py",),),
    ),
    Program(
        "fal-mcp-server",
        "python-older",
        "MCP server: models, prices, recommendations, pictures, video, music, uploads, background removal, "
        "upscaling, edits",
        (("mcp_servers.py", "fal-mcp"),),
    ),
    Program(
        "genvoy",
        "python",
        "MCP server: search, schema, estimate, one picture, a batch of pictures, saved as files",
        (("mcp_servers.py", "genvoy"),),
    ),
    Program(
        "fal-ai-mcp-server",
        NODE,
        "MCP server: models, search, schema, prices, estimates, generate, status, result, cancel, upload; usage "
        "without an admin key",
        (("mcp_server.mjs",),),
    ),
    Program(
        "falaw",
        "python",
        "a façade for agents: the account's health, prices in batches with unknown ids, which models exist, a call "
        "with events, an upload, a refused input",
        (("falaw_facade.py",),),
    ),
    Program(
        "llm-fal",
        "python-older",
        "the command line tool `llm` with fal's models: pictures of two models",
        (("llm_plugin.py",),),
    ),
)


def table() -> list[str]:
    """Return the rows of the table in `CHAPTER`."""
    return [
        f"| `{program.name}` {program.version} ({program.registry}) | {program.does} |"
        for program in PROGRAMS
    ]
