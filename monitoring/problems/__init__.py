"""What the errors of the API say, in one place for all doors: codes, explanations and bodies."""
