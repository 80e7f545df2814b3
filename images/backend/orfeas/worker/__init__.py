"""The process that has the model, and works on jobs."""
