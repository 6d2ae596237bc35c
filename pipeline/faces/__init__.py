"""Faces: found, followed and chosen through a whole clip, then cut out."""
