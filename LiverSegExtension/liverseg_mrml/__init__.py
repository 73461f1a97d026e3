"""A ``Case`` in an MRML scene, and back.

Runs inside 3D Slicer and on the package ``slicer-core`` alike. Scenes are passed in: nothing here reaches
for the application, its scene or Qt.
"""
