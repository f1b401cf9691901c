"""Names of the files that one stage writes and another reads."""

EPISODES = "episodes"  # demonstrations

STUDENT = "student.safetensors"
SWEEP = "episodes.csv"  # returns of a student's episodes at every size
REFERENCES = "returns.json"  # returns of the expert and of random actions
