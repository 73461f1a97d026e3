"""The landmarks of the Couinaud split as points in the scene, for a person to move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from liverseg.case import Point
from liverseg.couinaud.landmark_file import LANDMARKS, landmark_name
from liverseg.errors import UsageError
from liverseg_mrml.case_nodes import LANDMARKS_ROLE, CaseNodes
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.subject_hierarchy import put_into
from liverseg_mrml.translation import _

# Attribute of the point list: where each point was guessed, in the node's own coordinates.
GUESS = "LiverSeg.Guess"
# A point that moved by less was not moved by a person.
MOVED_MM = 0.1
COLOR = (0.2, 0.9, 1.0)


@dataclass(frozen=True)
class Landmarks:
    """World RAS mm by name.

    Attributes:
        placed: points that a person moved or made.
        guessed: points that still lie where they were guessed.
    """

    placed: dict[str, Point] = field(default_factory=dict)
    guessed: dict[str, Point] = field(default_factory=dict)


def show_landmarks(scene: Scene, nodes: CaseNodes, guess: Mapping[str, Point]) -> Node:
    """Show landmarks where they are guessed to lie. Points that a person moved stay where they are.

    Args:
        guess: world RAS mm by name (:func:`liverseg.couinaud.landmarks.first_landmarks`).

    Returns:
        The ``vtkMRMLMarkupsFiducialNode``, one labeled point a landmark, in the case's folder.

    Raises:
        UsageError: a point of the list that is there has an unknown name.
    """
    kept = landmarks_of(nodes).placed
    node = nodes.landmarks or _new_list(scene, nodes)
    modified = node.StartModify()
    node.SetFixedNumberOfControlPoints(False)
    node.RemoveAllControlPoints()
    node.SetAndObserveTransformNodeID(nodes.segmentation.GetTransformNodeID())
    guessed = {}
    for name in LANDMARKS:
        point = kept.get(name, guess.get(name))
        if point is None:
            continue
        number = node.AddControlPointWorld(point, name.replace("_", " "))
        node.SetNthControlPointDescription(number, LANDMARKS[name])
        if name not in kept:
            guessed[name] = list(node.GetNthControlPointPosition(number))
    # Points can be moved, and none gets lost or added by a stray click.
    node.SetFixedNumberOfControlPoints(True)
    node.SetAttribute(GUESS, json.dumps(guessed))
    node.EndModify(modified)
    node.GetDisplayNode().SetVisibility(True)
    return node


def landmarks_of(nodes: CaseNodes) -> Landmarks:
    """The landmarks that are shown; none before :func:`show_landmarks`. Points not yet placed do not count.

    Raises:
        UsageError: a point has an unknown name, or two points have one name.
    """
    node = nodes.landmarks
    if node is None:
        return Landmarks()
    guess = json.loads(node.GetAttribute(GUESS) or "{}")
    found = Landmarks()
    for n in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(n) != node.PositionDefined:
            continue
        label = node.GetNthControlPointLabel(n)
        name = landmark_name(label)
        if name is None:
            raise UsageError(
                _("the landmark {label} is not known; name it one of {names}").format(
                    label=repr(label), names=", ".join(LANDMARKS)
                )
            )
        if name in found.placed or name in found.guessed:
            raise UsageError(_("there are two landmarks {label}; remove one").format(label=repr(label)))
        moved = np.asarray(node.GetNthControlPointPosition(n)) - np.asarray(guess.get(name, np.inf))
        group = found.placed if np.abs(moved).max() > MOVED_MM else found.guessed
        r, a, s = node.GetNthControlPointPositionWorld(n)
        group[name] = (float(r), float(a), float(s))
    return found


def _new_list(scene: Scene, nodes: CaseNodes) -> Node:
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Couinaud landmarks")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSelectedColor(COLOR)
    display.SetColor(COLOR)
    display.SetGlyphScale(2.0)
    display.SetTextScale(2.5)
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(True)
    display.SetOccludedVisibility(True)
    nodes.segmentation.SetNodeReferenceID(LANDMARKS_ROLE, node.GetID())
    put_into(scene, nodes.folder, [node])
    return node
