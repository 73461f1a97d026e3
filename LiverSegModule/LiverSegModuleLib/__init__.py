"""What the LiverSeg module is made of.

``EngineCommand``, ``EngineMessages``, ``EnginePath``, ``ProcessTree`` and ``RunFolder`` know neither Qt nor
the application and are tested outside of Slicer; the rest runs in Slicer only. Nothing is imported here, so
that either half can be had without the other.
"""
