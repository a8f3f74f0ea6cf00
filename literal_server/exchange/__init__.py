"""Data out and data in: exports of a project, of some threads or of one, and imports of these and of older saves."""
