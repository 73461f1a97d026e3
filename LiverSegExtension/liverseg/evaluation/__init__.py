"""Scores of predictions against labels, by the definitions that stand beside each function.

Two rules hold everywhere. Two empty masks agree (Dice 1). A structure that the truth has and the
prediction lacks, a missing prediction included, is counted as a failure and enters every mean with the
worst value that the score can have; nothing undefined is ever dropped from a mean.
"""
