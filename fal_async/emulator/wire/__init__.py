"""fal's HTTP and WebSocket protocol as values, and aiohttp's connections under it.

It imports no other part of the emulator.
"""
