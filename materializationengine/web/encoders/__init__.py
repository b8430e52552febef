"""Answers in the forms that clients read: Arrow streams, JSON rows, and the headers beside them."""
