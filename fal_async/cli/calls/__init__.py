"""The verbs that call a model, or look at a request: run, subscribe, submit, status, result, cancel, stream."""
