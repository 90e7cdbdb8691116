"""Stand-ins for the models that fal's users and other people's programs call most: a few shapes, many ids.

`models.json` has one line for each model: what it takes, what it returns, and what it costs. The names, types and
defaults of the fields are those of the types in npm's `@fal-ai/client` 1.10.1. The prices are examples.
"""
