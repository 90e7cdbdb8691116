"""`fal-async doctor --live`: asks real fal what only it can answer, and compares with the protocol's facts.

To add a question, write a function that returns what was seen in a few words, and a `Question` with it in a list of
`questions.py: QUESTIONS`. `observations.py` has the requests that several questions share.
"""
