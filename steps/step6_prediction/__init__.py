"""Step 6: the verdict, and the next draws where there is something to say about them."""
