"""Two scans of one person side by side: livers registered, lesions matched, changes in numbers."""

from liverseg.compare.comparing import compare_cases
from liverseg.compare.time_point import TimePoint, read_time_point

__all__ = ["TimePoint", "compare_cases", "read_time_point"]
