"""Fits in files: data only, nothing in a file is ever executed, and every byte is checked before it is used."""
