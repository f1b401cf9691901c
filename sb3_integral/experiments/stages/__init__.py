"""The stages of an experiment: expert, demonstrations, students, sweeps, report, page.

Each module holds the work of a stage, a function that fills a folder, and the declaration of the stage:
what it depends on, what it needs, and how much work it is.
"""
