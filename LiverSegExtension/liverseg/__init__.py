"""LiverSeg: liver, lesions and Couinaud segments from an abdominal CT."""

__version__ = "0.1.0"
