"""The evidence of a GPU: what `scripts/gpu_evidence` runs on one, part by part, and the page that sums up what is in its folder.

    parts       the literal table of parts: what each needs, what it writes;  main: the command
    child       processes that end in time;  terminal: one on a terminal of its own
    record      environment.json: the calls that filled the folder
    page/       summary.md, from the folder's files alone

This process imports no torch and never touches the GPU: one that did would be a foreign process on it to every measurement.
"""
