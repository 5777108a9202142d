"""What users suffer from, as given, when, then: the product is right when these hold. The names have the numbers."""
