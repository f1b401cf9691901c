"""Names of the files in the folders of stages that other stages read."""

EPISODES = "episodes"
"""Demonstrations."""

STUDENT = "student.safetensors"

SWEEP = "episodes.csv"
"""Returns of a student's episodes at every size."""

REFERENCES = "returns.json"
"""Returns of the expert and of random actions."""
