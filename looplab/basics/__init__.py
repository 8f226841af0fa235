"""Small tools that several rooms need; they know nothing of models."""
