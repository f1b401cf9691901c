"""Names of the files in the folders of stages that other stages read."""

EPISODES = "episodes"  # demonstrations

STUDENT = "student.safetensors"
SWEEP = "episodes.csv"  # returns of a student's episodes at every size
REFERENCES = "returns.json"  # returns of the expert and of random actions
