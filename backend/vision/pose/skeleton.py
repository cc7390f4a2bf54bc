"""The seventeen landmarks of COCO, in their order, and what is measured between them."""

from __future__ import annotations

LANDMARKS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
NUMBER = {name: number for number, name in enumerate(LANDMARKS)}

_BONES = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *(
        (f"{side}_{one}", f"{side}_{other}")
        for side in ("left", "right")
        for one, other in (
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
            ("shoulder", "hip"),
            ("hip", "knee"),
            ("knee", "ankle"),
        )
    ),
)
BONES = tuple((NUMBER[one], NUMBER[other]) for one, other in _BONES)

# The angle at the middle landmark between the two others: 180 degrees for a straight limb.
_JOINTS = {
    "shoulder": ("hip", "shoulder", "elbow"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "hip": ("shoulder", "hip", "knee"),
    "knee": ("hip", "knee", "ankle"),
}
JOINTS = {
    f"{side}_{joint}": tuple(NUMBER[f"{side}_{name}"] for name in names)
    for joint, names in _JOINTS.items()
    for side in ("left", "right")
}
# The angle of a segment, from its lower to its upper landmarks (the middle of two), with the vertical: 0 upright,
# positive to the right of the picture. COCO has no toes, so an ankle has no angle of its own: the shank leans over it.
LEANS = {
    "trunk_lean": ((NUMBER["left_hip"], NUMBER["right_hip"]), (NUMBER["left_shoulder"], NUMBER["right_shoulder"])),
    "left_shank_lean": ((NUMBER["left_ankle"],), (NUMBER["left_knee"],)),
    "right_shank_lean": ((NUMBER["right_ankle"],), (NUMBER["right_knee"],)),
}
ANGLES = (*JOINTS, *LEANS)
PAIRS = tuple(_JOINTS)  # joints that both sides have
