"""What is written where: the plan, the names of curves, and their points."""
