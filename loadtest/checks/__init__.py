"""The checks of the verdict, by what they look at. Each gives `result.Check`s, and raises nothing."""
