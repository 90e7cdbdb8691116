"""`emulator exec`: runs any program so that fal's host names lead to an emulator, without a change in it."""
