"""Faces: found and followed through a whole clip, told apart, and cut out."""
