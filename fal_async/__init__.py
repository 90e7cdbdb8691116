"""The asyncio-native Python SDK for fal.ai."""
