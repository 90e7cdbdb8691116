"""Saves the state of an emulator to a folder, and starts an emulator from it.

`saved_state.py` saves and loads, `state_folder.py` replaces the folder as a whole. The modules `saved_...` have the
records of one kind each, with the functions that take them from an emulator and give them to another one.
"""
