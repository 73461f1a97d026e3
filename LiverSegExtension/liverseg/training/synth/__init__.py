"""Training samples beyond the labels: planted and pasted lesions, warped scans, pseudo-labels."""
