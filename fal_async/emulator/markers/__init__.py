"""The markers of the pytest plugin that choose the emulator of a test. pytest imports them in every run."""
