"""What the rest relies on to get files and to write them; the lowest room, which imports none of the others.

    storage.downloads   files that are fetched on first use, and verified
"""
