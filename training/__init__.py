"""What train.py is made of, and the sample videos that stand in for a user's own."""
