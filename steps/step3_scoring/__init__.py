"""Step 3: what every survivor matched in train, and how it did on the draws that were held back."""
