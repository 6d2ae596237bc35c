"""Parts of what is heard: windows of a waveform, and the voice in it."""
