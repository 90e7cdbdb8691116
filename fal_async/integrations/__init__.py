"""fal inside web applications. Import the file that you need: `starlette`, `fastapi`, `proxy`.

Each needs the extra of its name (`pip install 'fal-async[fastapi]'`); the proxy is plain ASGI and needs none.
"""
