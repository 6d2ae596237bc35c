"""Media: pictures and sound of a file, each with its times.

``container`` opens a file or refuses it, by what ``recognise`` makes of its head. ``packets``
decodes a stream to its end and times it. ``frames`` makes RGB of a picture in its shown shape
(``aspect``) and notes what is odd (``oddities``). ``sound`` makes one channel of several
(``channels``) and lays it on a line of time (``soundline``). ``declared`` says what is cut off, by
the ``sizes`` that files declare.
"""
