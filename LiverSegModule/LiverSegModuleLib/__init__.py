"""What the LiverSeg module is made of.

``Panel`` makes the sections (``InputSection`` ... ``AdvancedSection``, one for each of the panel's) on the
widgets of the .ui file; they share a ``Session``. ``RunLogic`` runs the engine, ``SelfTest`` is the module's
self test. ``EngineCommand``, ``EngineMessages``, ``EnginePath``, ``ProcessTree``, ``RunFolder``, ``Session``,
``Signal`` and ``TimeLeft`` know neither Qt nor the application. Nothing is imported here, so that either half
can be had without the other.
"""
