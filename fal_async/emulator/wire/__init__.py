"""fal's HTTP and WebSocket protocol as values, and aiohttp's connections under it.

It imports nothing else of the emulator.
"""
