"""Hosts of fal beside those of models and files: key-value store, WebRTC bridge, texts for agents."""
