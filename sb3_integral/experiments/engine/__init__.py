"""Making the stages of experiments: what is done, what is missing, and where it is made."""
