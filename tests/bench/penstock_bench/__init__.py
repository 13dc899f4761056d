"""The benchmark: what is measured, on which servers, against which floor."""
