"""What a data set holds, and what of it looks like a mistake."""
