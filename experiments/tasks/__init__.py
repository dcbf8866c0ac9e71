"""What is learned: data set, model, recipe."""
