"""Importers: recorded files of other programs, as rows. One module a format, each with the attributes of `Format`."""
